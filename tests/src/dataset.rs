//! Small datasets in the Flickscore layout, made on the spot: real encoded trailers, invented
//! viewers.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A dataset's folder under construction.
pub struct Made {
    /// The folder.
    pub folder: PathBuf,
}

/// Movies of a made dataset: 4 with a trailer, one of them silent, and 2 without.
pub const MOVIES: usize = 6;

impl Made {
    /// A dataset of [`MOVIES`] movies and 24 viewers in `folder`; `trailers` are made too where
    /// asked for.
    ///
    /// # Panics
    /// If the folder cannot be written or the ffmpeg program fails.
    pub fn new(folder: &Path, trailers: bool) -> Made {
        std::fs::create_dir_all(folder.join("trailers")).expect("a folder that can be written");
        let made = Made { folder: folder.to_path_buf() };
        let mut movies =
            String::from("movie_id,description,language,released,rating,writer,director,cast,genre,name\n");
        for movie in 0..MOVIES {
            let genres = [r#"[""Drama""]"#, r#"[""Comedy"", ""Drama""]"#, r#"[""Action""]"#][movie % 3];
            let row = format!(
                "{},about,\"[\"\"Hindi\"\"]\",2016-02-19T00:00:00.000Z,7.1,[],[],[],\"{genres}\",Movie {movie}\n",
                id(movie)
            );
            movies.push_str(&row);
        }
        made.write("movies.csv", &movies);
        let mut ratings = String::new();
        for user in 0..24 {
            let rated: Vec<String> = (0..MOVIES)
                .map(|movie| {
                    format!("\"{}\": [\"{}\"]", id(movie), (user * 7 + movie * 5 + user * movie) as i64 % 3 - 1)
                })
                .collect();
            writeln!(
                ratings,
                "{{\"_id\": \"u{user:02}\", \"rated\": {{{}, \"submit\": [\"submit\"]}}}}",
                rated.join(", ")
            )
            .expect("a string grows");
        }
        made.write("ratings.json", &ratings);
        if trailers {
            made.trailer(0, "-f lavfi -i testsrc2=s=320x180:r=25:d=3 -f lavfi -i sine=f=440:r=44100:d=3");
            made.trailer(1, "-f lavfi -i mandelbrot=s=320x240:r=24 -f lavfi -i anoisesrc=r=22050:d=2:seed=1 -t 2");
            made.trailer(2, "-f lavfi -i smptebars=s=256x144:r=30:d=2");
            made.trailer(3, "-f lavfi -i testsrc=s=200x200:r=10:d=4 -f lavfi -i sine=f=220:r=16000:d=4");
        }
        made
    }

    /// Makes a movie's trailer with the ffmpeg program from these inputs.
    ///
    /// # Panics
    /// If that fails.
    pub fn trailer(&self, movie: usize, inputs: &str) {
        let file = self.folder.join(format!("trailers/{}.mp4", id(movie)));
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-y"]).args(inputs.split_whitespace());
        command.args(["-pix_fmt", "yuv420p", "-threads", "1", "-bitexact"]).arg(&file);
        assert!(command.status().expect("the ffmpeg program is installed").success(), "ffmpeg {inputs} failed");
    }

    /// Writes a file of the dataset.
    ///
    /// # Panics
    /// If that fails.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join(name), text).expect("a folder that can be written");
    }
}

/// The id of a made movie.
pub fn id(movie: usize) -> String {
    format!("tt99{movie:05}")
}
