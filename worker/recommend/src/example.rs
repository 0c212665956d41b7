//! Small generated datasets for tests.

use jhalak_common::dataset::{Dataset, Label, Movie, Rating, User};
use jhalak_nn::{Random, seeded};

/// How the labels of an [`example`] are chosen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Taste {
    /// Every user likes one genre and dislikes another.
    Genre,
    /// At random, half of them neutral.
    Chance,
}

/// Generates `users` users who each rated `each` of `movies` movies in four genres.
pub(super) fn example(users: usize, movies: usize, each: usize, taste: Taste, seed: u64) -> Dataset {
    let random = &mut seeded(seed, 0);
    let genres: Vec<String> = ["Action", "Comedy", "Drama", "Music"].map(str::to_owned).to_vec();
    let number = |i: usize| u32::try_from(i).expect("examples are small");
    let movie = |i: usize| {
        let own = [genres[i % 4].clone(), genres[(i / 4) % 4].clone()];
        Movie {
            id: format!("tt{i:07}"),
            genres: own.into_iter().take(1 + usize::from(i.is_multiple_of(3))).collect(),
            ..Movie::default()
        }
    };
    let movies: Vec<Movie> = (0..movies).map(movie).collect();
    let mut ratings = Vec::new();
    for user in 0..users {
        let (liked, disliked) = (user % 4, (user + 1 + user / 4 % 3) % 4);
        let mut chosen: Vec<usize> = (0..movies.len()).collect();
        jhalak_nn::shuffle(&mut chosen, random);
        chosen.truncate(each);
        chosen.sort_unstable();
        for movie in chosen {
            let has = |genre: usize| movies[movie].genres.contains(&genres[genre]);
            let label = match taste {
                Taste::Genre if has(liked) => Label::Like,
                Taste::Genre if has(disliked) => Label::Dislike,
                Taste::Genre => Label::Neutral,
                Taste::Chance => by_chance(random),
            };
            ratings.push(Rating { user: number(user), movie: number(movie), label, half_stars: None });
        }
    }
    let users = (0..users).map(|i| User { id: format!("u{i:04}"), ..User::default() }).collect();
    Dataset {
        name: "example".to_owned(),
        synthetic: true,
        movies: movies.into(),
        users,
        ratings,
        times: Vec::new(),
        genres,
    }
}

fn by_chance(random: &mut Random) -> Label {
    match random.below(4) {
        0 => Label::Dislike,
        1 => Label::Like,
        _ => Label::Neutral,
    }
}
