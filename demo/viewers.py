"""The demo's viewers and their feedback: a seeded taste model, the same on every machine.

A viewer's liking of a movie is

    liking = mean over the movie's genres of taste(viewer, genre) + 0.5 mood(viewer) + 0.5 appeal(movie) + 0.5 chance
    taste(viewer, genre) = leaning(group of the viewer, genre) + 0.5 own(viewer, genre)

Every term is drawn from one bell-shaped distribution (mean 0, deviation 1). Viewers are assigned to four groups in turn.
Each viewer rates twelve movies picked at random. All likings are ranked together, and the classes take their shares as in
the real data: the lowest 11 % are dislikes, the next 47 % neutral, the rest likes.
Genres explain most of the feedback, and a random part cannot be predicted.

The model only adds, multiplies and compares the generator's uniform numbers: functions of the C runtime, and most of
module random's, may differ between versions.
"""

import random

SEED = 20231009
VIEWERS = 40
GROUPS = 4
RATED = 12
DISLIKE_PERCENT, NEUTRAL_PERCENT = 11, 47


class Draws:
    """A stream of numbers with mean 0 and deviation 1."""

    def __init__(self, seed):
        self.uniform = random.Random(seed).random

    def bell(self):
        """Returns the sum of twelve uniform numbers minus six: nearly normal, without a logarithm."""
        return sum(self.uniform() for _ in range(12)) - 6.0


def viewer_ids():
    return [f"synthetic-{number:03d}" for number in range(1, VIEWERS + 1)]


def feedback(movies, genres):
    """Returns (viewer, movie, label) in order of viewer and movie; `movies` maps an id to its genres."""
    draws = Draws(SEED)
    leaning = [{genre: draws.bell() for genre in genres} for _ in range(GROUPS)]
    appeal = {movie: draws.bell() for movie in sorted(movies)}
    likings = []
    for number, viewer in enumerate(viewer_ids()):
        group = leaning[number % GROUPS]
        taste = {genre: group[genre] + 0.5 * draws.bell() for genre in genres}
        mood = draws.bell()
        lots = sorted((draws.uniform(), movie) for movie in sorted(movies))
        for movie in sorted(movie for _, movie in lots[:RATED]):
            fit = sum(taste[genre] for genre in movies[movie]) / len(movies[movie])
            liking = fit + 0.5 * mood + 0.5 * appeal[movie] + 0.5 * draws.bell()
            likings.append((liking, viewer, movie))
    likings.sort()
    dislikes = len(likings) * DISLIKE_PERCENT // 100
    neutrals = len(likings) * NEUTRAL_PERCENT // 100
    labels = [-1] * dislikes + [0] * neutrals + [1] * (len(likings) - dislikes - neutrals)
    return sorted((viewer, movie, label) for (_, viewer, movie), label in zip(likings, labels))
