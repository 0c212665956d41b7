//! Mixed logit: multinomial logistic regression with terms for users, movies and their
//! interactions, under Gaussian priors.
//!
//! The score of class c for user u and movie m is
//!
//! `b_c + U_uc + M_mc + W_c.x_m + A_c.a_u + (S_uc + sum_i a_ui T_ic).x_m + P_u.Q_mc`
//!
//! with x the movie's content and a the user's attributes. The first three terms are the bias
//! model; P and Q make it a softmax matrix factorisation; W, S and T make it hierarchical: movie
//! terms shrink towards the prediction from content, and each user's slopes over the content
//! towards those of users with the same attributes and of all users. Each term has its own prior
//! variance, the inverse of its penalty.

use super::dot::dot;
use super::lbfgs::minimise;
use super::softmax::{softmax, softmax_parts};
use crate::CLASSES;
use crate::ensemble::settings::TermPenalties;
use jhalak_nn::Random;
use jhalak_simd::dispatched;

/// Penalty of the classes' intercepts: almost none.
const INTERCEPT: f64 = 0.01;
/// Maximum number of L-BFGS steps.
const ITERATIONS: usize = 100;
/// Relative gain of a step below which fitting ends: predictions no longer change then.
const TOLERANCE: f64 = 2e-5;

/// A labelled pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelledPair {
    /// Index of the user.
    pub user: u32,
    /// Index of the movie.
    pub movie: u32,
    /// Index of the class.
    pub label: u8,
}

/// Side information on users and movies, row-major; a width of 0 leaves the terms out.
#[derive(Clone, Copy, Debug)]
pub struct SideInfo<'a> {
    /// Number of users.
    pub users: usize,
    /// Number of movies.
    pub movies: usize,
    /// movies x `content_dim`.
    pub content: &'a [f64],
    /// Width of `content`.
    pub content_dim: usize,
    /// users x `attribute_dim`.
    pub attributes: &'a [f64],
    /// Width of `attributes`.
    pub attribute_dim: usize,
}

/// Offset and scale of each term's parameters. Unscaled parameters have a prior variance of 1.
#[derive(Clone, Debug)]
struct Layout {
    content_dim: usize,
    attribute_dim: usize,
    factors: usize,
    user: usize,
    movie: usize,
    content: usize,
    attribute: usize,
    attribute_slope: usize,
    slope: usize,
    user_factor: usize,
    movie_factor: usize,
    len: usize,
    intercept_scale: f64,
    user_scale: f64,
    movie_scale: f64,
    content_scale: f64,
    attribute_scale: f64,
    slope_scale: f64,
    factor_scale: f64,
}

impl Layout {
    fn new(side_info: &SideInfo<'_>, factors: usize, penalties: &TermPenalties) -> Self {
        let mut next = CLASSES;
        let mut take = |count: usize| {
            let start = next;
            next += count;
            start
        };
        let (dx, da) = (side_info.content_dim, side_info.attribute_dim);
        let scale = |penalty: f64| 1.0 / penalty.sqrt();
        Self {
            content_dim: dx,
            attribute_dim: da,
            factors,
            user: take(side_info.users * CLASSES),
            movie: take(side_info.movies * CLASSES),
            content: take(dx * CLASSES),
            attribute: take(da * CLASSES),
            attribute_slope: take(da * CLASSES * dx),
            slope: take(side_info.users * CLASSES * dx),
            user_factor: take(side_info.users * factors),
            movie_factor: take(side_info.movies * CLASSES * factors),
            len: next,
            intercept_scale: scale(INTERCEPT),
            user_scale: scale(penalties.user),
            movie_scale: scale(penalties.movie),
            content_scale: scale(penalties.content),
            attribute_scale: scale(penalties.attribute),
            slope_scale: scale(penalties.slope),
            factor_scale: scale(penalties.factor),
        }
    }
}

/// A fitted mixed logit model.
#[derive(Clone, Debug)]
pub struct MixedLogit {
    layout: Layout,
    parameters: Vec<f64>,
    /// users x classes x content: S plus the users' shares of T.
    slopes: Vec<f64>,
}

impl MixedLogit {
    /// Fits all terms at once. `weights` weighs the pairs of each class.
    ///
    /// `pairs` must be sorted by user.
    pub fn fit(
        pairs: &[LabelledPair],
        side_info: &SideInfo<'_>,
        factors: usize,
        penalties: &TermPenalties,
        weights: [f64; CLASSES],
        random: &mut Random,
    ) -> Self {
        let layout = Layout::new(side_info, factors, penalties);
        let mut parameters = vec![0.0; layout.len];
        // All factors at zero are a saddle point where the gradient is zero.
        for p in &mut parameters[layout.user_factor..] {
            *p = 0.1 * f64::from(random.normal());
        }
        let curvature = curvature(&layout, side_info, pairs);
        minimise(&mut parameters, &curvature, ITERATIONS, TOLERANCE, |p, g| {
            posterior::run(&layout, side_info, pairs, weights, p, g)
        });
        let mut slopes = vec![0.0; side_info.users * CLASSES * layout.content_dim];
        if layout.content_dim > 0 {
            for (user, slopes) in slopes.chunks_exact_mut(CLASSES * layout.content_dim).enumerate() {
                user_slopes(&layout, side_info, &parameters, user, slopes);
            }
        }
        Self { layout, parameters, slopes }
    }

    /// Returns the user's terms.
    pub fn user_terms(&self, user: usize) -> [f64; CLASSES] {
        let start = self.layout.user + user * CLASSES;
        std::array::from_fn(|c| self.layout.user_scale * self.parameters[start + c])
    }

    /// Returns the movie's terms.
    pub fn movie_terms(&self, movie: usize) -> [f64; CLASSES] {
        let start = self.layout.movie + movie * CLASSES;
        std::array::from_fn(|c| self.layout.movie_scale * self.parameters[start + c])
    }

    /// Returns the content terms of a movie, which are the same for all users.
    pub fn content_terms(&self, side_info: &SideInfo<'_>, movie: usize) -> [f64; CLASSES] {
        let dx = self.layout.content_dim;
        let x = &side_info.content[movie * dx..(movie + 1) * dx];
        std::array::from_fn(|c| {
            let start = self.layout.content + c * dx;
            self.layout.content_scale * dot(&self.parameters[start..start + dx], x)
        })
    }

    /// Returns the user's slopes times the movie's content.
    pub fn slope_terms(&self, side_info: &SideInfo<'_>, user: usize, movie: usize) -> [f64; CLASSES] {
        let dx = self.layout.content_dim;
        let x = &side_info.content[movie * dx..(movie + 1) * dx];
        std::array::from_fn(|c| dot(&self.slopes[(user * CLASSES + c) * dx..(user * CLASSES + c + 1) * dx], x))
    }

    /// Returns the class probabilities of a pair.
    pub fn probabilities(&self, side_info: &SideInfo<'_>, user: usize, movie: usize) -> [f64; CLASSES] {
        let mut scores = scores(&self.layout, side_info, &self.parameters, user, movie);
        if self.layout.content_dim > 0 {
            let (all, own) = (self.content_terms(side_info, movie), self.slope_terms(side_info, user, movie));
            (0..CLASSES).for_each(|c| scores[c] += all[c] + own[c]);
        }
        softmax(&mut scores);
        scores
    }
}

/// Returns the scores without the terms that depend on the movie's content.
#[inline(always)]
fn scores(layout: &Layout, side_info: &SideInfo<'_>, p: &[f64], user: usize, movie: usize) -> [f64; CLASSES] {
    let (da, k) = (layout.attribute_dim, layout.factors);
    let a = &side_info.attributes[user * da..(user + 1) * da];
    let factors = &p[layout.user_factor + user * k..layout.user_factor + (user + 1) * k];
    std::array::from_fn(|c| {
        let factor = layout.movie_factor + (movie * CLASSES + c) * k;
        layout.intercept_scale * p[c]
            + layout.user_scale * p[layout.user + user * CLASSES + c]
            + layout.movie_scale * p[layout.movie + movie * CLASSES + c]
            + layout.attribute_scale * dot(&p[layout.attribute + c * da..layout.attribute + (c + 1) * da], a)
            + layout.factor_scale * dot(factors, &p[factor..factor + k])
    })
}

/// Writes S_u + sum_i a_ui T_i, classes x content.
#[inline(always)]
fn user_slopes(layout: &Layout, side_info: &SideInfo<'_>, p: &[f64], user: usize, out: &mut [f64]) {
    let (width, da) = (out.len(), layout.attribute_dim);
    let own = layout.slope + user * width;
    out.iter_mut().zip(&p[own..own + width]).for_each(|(out, p)| *out = layout.slope_scale * p);
    for (i, a) in side_info.attributes[user * da..(user + 1) * da].iter().enumerate().filter(|(_, a)| **a != 0.0) {
        let start = layout.attribute_slope + i * width;
        let a = a * layout.attribute_scale;
        out.iter_mut().zip(&p[start..start + width]).for_each(|(out, p)| *out += a * p);
    }
}

dispatched! {
    /// Calls [`loss`](super::loss), where a fit spends most of its time.
    posterior(
        layout: &super::Layout,
        side_info: &super::SideInfo<'_>,
        pairs: &[super::LabelledPair],
        weights: [f64; super::CLASSES],
        p: &[f64],
        gradient: &mut [f64],
    ) -> f64 {
        super::loss(layout, side_info, pairs, weights, p, gradient)
    }
}

/// Returns minus the logarithm of the posterior, up to a constant, and writes its gradient.
#[inline(always)]
fn loss(
    layout: &Layout,
    side_info: &SideInfo<'_>,
    pairs: &[LabelledPair],
    weights: [f64; CLASSES],
    p: &[f64],
    gradient: &mut [f64],
) -> f64 {
    let (dx, da, k) = (layout.content_dim, layout.attribute_dim, layout.factors);
    let width = CLASSES * dx;
    gradient.copy_from_slice(p);
    let mut total = 0.5 * dot(p, p);
    let mut products = [1.0_f64; CLASSES];
    // Slopes of all users plus those of this user. Both get their gradients from the same sums.
    let (mut slopes, mut slope_gradient) = (vec![0.0; width], vec![0.0; width]);
    for own in pairs.chunk_by(|a, b| a.user == b.user) {
        let user = own[0].user as usize;
        if dx > 0 {
            user_slopes(layout, side_info, p, user, &mut slopes);
            add(&mut slopes, layout.content_scale, &p[layout.content..layout.content + width]);
            slope_gradient.fill(0.0);
        }
        let mut user_gradient = [0.0; CLASSES];
        for pair in own {
            let movie = pair.movie as usize;
            let x = &side_info.content[movie * dx..(movie + 1) * dx];
            let mut d = scores(layout, side_info, p, user, movie);
            for c in 0..CLASSES {
                d[c] += dot(&slopes[c * dx..(c + 1) * dx], x);
            }
            let label = usize::from(pair.label);
            let weight = weights[label];
            let own_score = d[label];
            let (highest, sum) = softmax_parts(&mut d);
            total += weight * (highest - own_score);
            // One logarithm for many sums; each sum is at most the number of classes.
            products[label] *= sum;
            if products[label] > 1e300 {
                total += weight * products[label].ln();
                products[label] = 1.0;
            }
            d[label] -= 1.0;
            for c in 0..CLASSES {
                let d = d[c] * weight;
                user_gradient[c] += d;
                gradient[c] += layout.intercept_scale * d;
                gradient[layout.movie + movie * CLASSES + c] += layout.movie_scale * d;
                add(&mut slope_gradient[c * dx..], d, x);
                let (of_user, of_movie) =
                    (layout.user_factor + user * k, layout.movie_factor + (movie * CLASSES + c) * k);
                add(&mut gradient[of_user..of_user + k], layout.factor_scale * d, &p[of_movie..of_movie + k]);
                add(&mut gradient[of_movie..of_movie + k], layout.factor_scale * d, &p[of_user..of_user + k]);
            }
        }
        let a = &side_info.attributes[user * da..(user + 1) * da];
        for c in 0..CLASSES {
            gradient[layout.user + user * CLASSES + c] += layout.user_scale * user_gradient[c];
            add(&mut gradient[layout.attribute + c * da..], layout.attribute_scale * user_gradient[c], a);
        }
        if dx > 0 {
            add(&mut gradient[layout.content..], layout.content_scale, &slope_gradient);
            add(&mut gradient[layout.slope + user * width..], layout.slope_scale, &slope_gradient);
            for (i, a) in a.iter().enumerate().filter(|(_, a)| **a != 0.0) {
                add(&mut gradient[layout.attribute_slope + i * width..], layout.attribute_scale * a, &slope_gradient);
            }
        }
    }
    total + (0..CLASSES).map(|c| weights[c] * products[c].ln()).sum::<f64>()
}

/// Approximates the second derivatives of [`loss`], as if every class had the same probability.
fn curvature(layout: &Layout, side_info: &SideInfo<'_>, pairs: &[LabelledPair]) -> Vec<f64> {
    const VARIANCE: f64 = 2.0 / 9.0; // p (1 - p) of one class of three
    let (dx, da) = (layout.content_dim, layout.attribute_dim);
    let width = CLASSES * dx;
    let mut curvature = vec![1.0; layout.len];
    for own in pairs.chunk_by(|a, b| a.user == b.user) {
        let user = own[0].user as usize;
        let mut squares = vec![0.0; dx];
        for pair in own {
            let x = &side_info.content[pair.movie as usize * dx..(pair.movie as usize + 1) * dx];
            squares.iter_mut().zip(x).for_each(|(sum, x)| *sum += VARIANCE * x * x);
            for c in 0..CLASSES {
                curvature[layout.movie + pair.movie as usize * CLASSES + c] += VARIANCE * layout.movie_scale.powi(2);
            }
        }
        let n = VARIANCE * own.len() as f64;
        let a: Vec<f64> = side_info.attributes[user * da..(user + 1) * da].iter().map(|a| a * a).collect();
        for c in 0..CLASSES {
            curvature[c] += n * layout.intercept_scale.powi(2);
            curvature[layout.user + user * CLASSES + c] += n * layout.user_scale.powi(2);
            add(&mut curvature[layout.attribute + c * da..], n * layout.attribute_scale.powi(2), &a);
            add(&mut curvature[layout.content + c * dx..], layout.content_scale.powi(2), &squares);
            add(&mut curvature[layout.slope + user * width + c * dx..], layout.slope_scale.powi(2), &squares);
            for (i, a) in a.iter().enumerate() {
                let start = layout.attribute_slope + i * width + c * dx;
                add(&mut curvature[start..], a * layout.attribute_scale.powi(2), &squares);
            }
        }
    }
    curvature
}

/// Computes `to += scale * from` over the length of `from`.
#[inline(always)]
fn add(to: &mut [f64], scale: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += scale * from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_nn::seeded;

    const PENALTIES: TermPenalties =
        TermPenalties { user: 0.7, movie: 1.3, content: 2.0, slope: 3.0, attribute: 1.5, factor: 4.0 };

    #[test]
    fn the_gradient_matches_finite_differences_of_the_loss() {
        let random = &mut seeded(1, 0);
        let numbers = |n: usize, random: &mut Random| (0..n).map(|_| f64::from(random.normal())).collect::<Vec<_>>();
        let (content, attributes) = (numbers(5 * 2, random), numbers(4 * 3, random));
        let side_info = SideInfo {
            users: 4,
            movies: 5,
            content: &content,
            content_dim: 2,
            attributes: &attributes,
            attribute_dim: 3,
        };
        let pairs: Vec<LabelledPair> =
            (0..14).map(|i| LabelledPair { user: i / 4, movie: i % 5, label: (i * i % 3) as u8 }).collect();
        let layout = Layout::new(&side_info, 2, &PENALTIES);
        let mut p = numbers(layout.len, random);
        let mut gradient = vec![0.0; layout.len];
        let weights = [2.0, 0.5, 1.0];
        loss(&layout, &side_info, &pairs, weights, &p, &mut gradient);
        let mut unused = vec![0.0; layout.len];
        for i in 0..layout.len {
            let at = p[i];
            p[i] = at + 1e-5;
            let above = loss(&layout, &side_info, &pairs, weights, &p, &mut unused);
            p[i] = at - 1e-5;
            let below = loss(&layout, &side_info, &pairs, weights, &p, &mut unused);
            p[i] = at;
            let expected = (above - below) / 2e-5;
            assert!((expected - gradient[i]).abs() < 1e-5 * expected.abs().max(1.0), "{i}: {expected} {}", gradient[i]);
        }
    }

    #[test]
    fn a_user_slope_fits_a_user_against_the_trend() {
        // User 0 likes what others dislike: only the user's own slope over the content can fit
        // that.
        let content = [-1.0, 1.0, -1.0, 1.0, -1.0, 1.0];
        let side_info =
            SideInfo { users: 3, movies: 6, content: &content, content_dim: 1, attributes: &[], attribute_dim: 0 };
        let mut pairs = Vec::new();
        for user in 0..3 {
            for movie in 0..5 {
                let liked = (content[movie as usize] > 0.0) == (user == 0);
                pairs.push(LabelledPair { user, movie, label: if liked { 2 } else { 0 } });
            }
        }
        let model = MixedLogit::fit(&pairs, &side_info, 0, &PENALTIES, [1.0; 3], &mut seeded(1, 0));
        let like = |user| model.probabilities(&side_info, user, 5)[2];
        assert!(like(0) > 0.5 && like(1) < 0.5, "an unseen movie: {} {}", like(0), like(1));
    }
}
