//! The reasons for a prediction, as sentences.

use jhalak_common::dataset::Label;
use jhalak_common::evaluation::metrics::PerClass;
use jhalak_worker::recommend::serving::Explanation;

/// The reasons for a prediction, those for and those against apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    /// The reasons for liking the movie.
    pub pro: Vec<String>,
    /// The reasons against it.
    pub contra: Vec<String>,
}

impl Reasons {
    /// Sorts the reasons: other viewers first, whose ratings weigh most if they are many, then
    /// genres, movies with the same viewers, and movies of like content.
    pub fn of(why: &Explanation) -> Self {
        let mut reasons = Self::default();
        let PerClass { dislike, neutral, like } = why.others;
        match dislike + neutral + like {
            0 => reasons.contra.push("no other viewer rated it".to_owned()),
            all => {
                let text = format!("{like} of {all} other viewers like it{}", disliked(dislike));
                reasons.side(like > dislike).push(text);
            }
        }
        for genre in why.genres.iter().take(2) {
            let PerClass { dislike, neutral, like } = genre.rated;
            let all = dislike + neutral + like;
            let text = format!("liked {like} of {all} {} movies{}", genre.genre, disliked(dislike));
            // A model's leaning that the ratings do not show is no reason that a reader could
            // follow.
            let rated = like as f64 - dislike as f64;
            let leaning = genre.leaning.unwrap_or(rated);
            if leaning * rated > 0.0 {
                reasons.side(rated > 0.0).push(text);
            }
        }
        for shared in why.shared_viewers.iter().filter(|shared| shared.weight.abs() >= 0.005) {
            let text = format!("{} {}, which shares viewers ({:+.2})", verb(shared.rated), shared.name, shared.weight);
            reasons.side(shared.weight > 0.0).push(text);
        }
        // A similarity that is shown as 0.00 is not a reason.
        for neighbour in why.neighbours.iter().filter(|neighbour| neighbour.similarity >= 0.005) {
            let text = format!("{} {} (similarity {:.2})", verb(neighbour.rated), neighbour.name, neighbour.similarity);
            match neighbour.rated {
                Label::Like => reasons.pro.push(text),
                Label::Neutral | Label::Dislike => reasons.contra.push(text),
            }
        }
        reasons
    }

    fn side(&mut self, pro: bool) -> &mut Vec<String> {
        if pro { &mut self.pro } else { &mut self.contra }
    }

    /// Returns a line for each side that has reasons, each after `indent`.
    pub fn lines(&self, indent: &str) -> String {
        let line = |name: &str, reasons: &[String]| match reasons {
            [] => String::new(),
            reasons => format!("{indent}{name}: {}\n", reasons.join("; ")),
        };
        line("for", &self.pro) + &line("against", &self.contra)
    }
}

fn verb(rated: Label) -> &'static str {
    match rated {
        Label::Like => "liked",
        Label::Neutral => "neutral about",
        Label::Dislike => "disliked",
    }
}

fn disliked(count: u64) -> String {
    if count == 0 { String::new() } else { format!(", {count} disliked") }
}
