//! Numbers on the command line, with messages that state the range.

/// Accepts a whole number of at least 1.
pub(in crate::commands) fn count<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    at_least(1, text)
}

/// Accepts a whole number of at least 0.
#[cfg(feature = "local")]
pub(in crate::commands) fn whole<N: TryFrom<u64>>(text: &str) -> Result<N, String> {
    at_least(0, text)
}

/// Accepts a number from 0 to 1.
#[cfg(feature = "local")]
pub(in crate::commands) fn share(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|n| (0.0..=1.0).contains(n)).ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

fn at_least<N: TryFrom<u64>>(least: u64, text: &str) -> Result<N, String> {
    let number = text.trim().parse::<u64>().ok().filter(|number| *number >= least);
    // A number that the type cannot hold is out of range too.
    number.and_then(|number| N::try_from(number).ok()).ok_or_else(|| {
        let most = (1..=64).rev().map(|bits| u64::MAX >> (64 - bits)).find(|most| N::try_from(*most).is_ok());
        match most {
            Some(most) if most < u64::MAX => format!("must be a whole number from {least} to {most}"),
            _ => format!("must be a whole number of at least {least}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::commands::Cli;

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        assert_eq!((count::<usize>("1"), whole::<u32>("0")), (Ok(1), Ok(0)));
        for text in ["0", "-1", "1.5", "x", "", "99999999999999999999"] {
            let refused = count::<usize>(text).expect_err(text);
            assert!(refused == "must be a whole number of at least 1", "{refused}");
        }
        assert_eq!(whole::<u32>("4294967296"), Err("must be a whole number from 0 to 4294967295".to_owned()));
        assert!(share("1.5").is_err() && share("-0.1").is_err() && share("NaN").is_err() && share("0.5") == Ok(0.5));
    }

    #[cfg(feature = "local")]
    #[test]
    fn every_number_of_a_command_line_is_refused_below_its_range() {
        for line in [
            "recommend --top -1",
            "recommend --reasons -1",
            "recommend --all-users --out x --threads -1",
            "movies --top -1",
            "similar x --top 0",
            "similar x --parts -1",
            "evaluate --dataset d --seed -1",
            "evaluate --dataset d --known -1",
            "evaluate --dataset d --threads -1",
            "evaluate --dataset d --task ranking --top 0",
            "fit --dataset d --seed -1",
            "fit --dataset d --epochs 0",
            "compare a b --seed -1",
            "scenes x --min-scene-len -1",
            "keyframes x --out k --longer-than -1",
            "keyframes x --out k --stride 0",
            "detect x --stride 0",
            "serve --upload-mb -1",
        ] {
            let refused = Cli::try_parse_from(["jhalak"].into_iter().chain(line.split(' '))).map(|_| ());
            let refused = refused.expect_err(line).to_string();
            assert!(refused.contains("must be a whole number "), "{line}: {refused}");
        }
    }
}
