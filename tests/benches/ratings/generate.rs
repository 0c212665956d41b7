//! Generates ratings with the shape of real ones: long tails of users and movies, tastes, and
//! times.

use jhalak_common::dataset::{Dataset, Label, Movie, Rating, User};
use jhalak_worker::nn::{Random, seeded};

/// Numbers that describe a taste.
const TASTE: usize = 6;

/// Generates about `count` ratings: a user has 20 to 2,000 of them (100 on average), and a movie's
/// share falls with its rank. The same seed gives the same ratings.
pub fn dataset(count: usize, seed: u64) -> Dataset {
    let random = &mut seeded(seed, 0);
    let users = (count / 100).max(1);
    let movies = ((count as f64).sqrt() as usize * 3).clamp(100, 30_000);
    // Movie m is drawn in proportion to 1 / (m + 30).
    let mut shares = Vec::with_capacity(movies);
    let mut sum = 0.0_f64;
    for movie in 0..movies {
        sum += 1.0 / (movie as f64 + 30.0);
        shares.push(sum);
    }
    let tastes: Vec<[f32; TASTE]> = (0..movies).map(|_| taste(random)).collect();
    let quality: Vec<f32> = (0..movies).map(|_| 0.6 * random.normal()).collect();
    let (mut ratings, mut times) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut seen = vec![u32::MAX; movies];
    for user in 0..users {
        let (own, mood) = (taste(random), 0.5 * random.normal());
        let many = (20.0 * (-f64::from(random.uniform(0.0005, 1.0)).ln() * 0.8).exp().powf(1.25)) as usize;
        let many = many.clamp(20, 2_000).min(movies / 2);
        let begin = i64::from(random.below(1_000_000) as u32) * 1_000;
        let mut chosen = Vec::with_capacity(many);
        while chosen.len() < many {
            let at = f64::from(random.uniform(0.0, 1.0)) * sum;
            let movie = shares.partition_point(|share| *share < at).min(movies - 1);
            if seen[movie] != user as u32 {
                seen[movie] = user as u32;
                chosen.push((movie as u32, begin + 60 * chosen.len() as i64));
            }
        }
        chosen.sort_unstable();
        for (movie, time) in chosen {
            let of = &tastes[movie as usize];
            let match_of = of.iter().zip(&own).map(|(a, b)| a * b).sum::<f32>() / (TASTE as f32).sqrt();
            let stars = 0.4 + mood + quality[movie as usize] + match_of + 0.8 * random.normal();
            let label = match stars {
                x if x < -0.4 => Label::Dislike,
                x if x < 0.3 => Label::Neutral,
                _ => Label::Like,
            };
            ratings.push(Rating { user: user as u32, movie, label, half_stars: None });
            times.push(time);
        }
    }
    Dataset {
        name: "generated".to_owned(),
        synthetic: true,
        movies: (0..movies).map(|i| Movie { id: format!("m{i:06}"), ..Movie::default() }).collect(),
        users: (0..users).map(|i| User { id: format!("u{i:08}"), ..User::default() }).collect(),
        ratings,
        times,
        genres: Vec::new(),
    }
}

fn taste(random: &mut Random) -> [f32; TASTE] {
    std::array::from_fn(|_| random.normal())
}
