//! The forms of files that people have: scales, layouts, bad rows, trailers anywhere.

use super::tests::{MOVIES, RATINGS, memory, read_all, reasons, refused};
use super::{Layout, ReadSettings, Scale, read};

#[test]
fn a_bad_row_is_one_reject_and_never_the_whole_file() {
    let with = |movies: &[u8]| {
        let files = [("movies.csv", movies), ("ratings.json", RATINGS.as_bytes())];
        let reading = read(&memory(&files, &[]), &ReadSettings { max_rejected_percent: 100.0, ..Default::default() });
        let reading = reading.expect("the rest is valid");
        let ids: Vec<String> = reading.dataset.movies.iter().map(|movie| movie.id.clone()).collect();
        (ids.join(" "), reasons(&reading).first().cloned().unwrap_or_default())
    };
    for (movies, ids, reported) in [
        (
            &b"id,name\r\ntt1,One\r\ntt2\r\ntt3,Three\r\n"[..],
            "tt1 tt3",
            "line 3: row: 1 cells where the first line has 2",
        ),
        (b"\n\nid,name\n\"tt1\",\"One\n1\"\n\n\ntt2,2,2\ntt3,3,,\n", "tt1 tt3", "line 8: row: 3 cells"),
        (b"id,name\ntt1,One\ntt2,\"Two\ntt3,Three\n", "tt1 tt3", "line 3: row: a quote on this line"),
        (b"id,name\ntt1,One\ntt2,\"Two\ntt3,\"Three, a\"\n", "tt1 tt3", "line 3: row: a quote on this line"),
        (b"id,name\ntt1,One\ntt2,\"Two\ntt3,Three\ntt4,\"\"\ntt5,\",5\"\n", "tt1 tt3 tt4 tt5", "line 3: row"),
        (b"id,name\ntt1,ok\ntt2,caf\xE9\ntt3,x\n", "tt1 tt3", "line 3: row: cell 2 is not UTF-8"),
    ] {
        let (found, first) = with(movies);
        assert_eq!(found, ids, "{first}");
        assert!(first.contains(reported), "{reported} is not in {first}");
    }
    let (found, first) = with(format!("id,name\ntt1,{}\ntt2,x\n", "x".repeat(9 << 20)).as_bytes());
    assert_eq!(found, "tt2");
    assert!(first.contains("line 2: row: a line larger than 8 MiB"), "{first}");
}

#[test]
fn a_file_is_refused_in_one_sentence_rather_than_read_in_part() {
    let ids = |from: usize, to: usize| (from..to).map(|n| format!("u{n},tt1,1\n")).collect::<String>();
    let with = |ratings: String, max: f64| {
        let ratings = format!("user,movie,label\n{ratings}v1,tt2,-1\n");
        let files = [("movies.csv", MOVIES.as_bytes()), ("ratings.csv", ratings.as_bytes())];
        let settings = ReadSettings { max_rejected_percent: max, scale: Some(Scale::Labels), ..Default::default() };
        read(&memory(&files, &[]), &settings).map_err(|error| error.to_string())
    };
    let bad = |what: &str, count: usize| (0..count).map(|n| what.replace('N', &n.to_string())).collect::<String>();
    for (row, reported) in [
        ("wN,tt1,7\n", "20 of 121 rows (17 %) have a rating that is not on the scale, the first: ratings.csv line 102"),
        ("wN,tt9,1\n", "rate a movie that is not in the catalogue"),
        ("wN,tt1\n", "cannot be read"),
        ("uN,tt1,0\n", "rate a movie a second time, differently"),
        (",tt1,0\n", "an id that is not valid"),
    ] {
        let reported_all = with(ids(0, 100) + &bad(row, 20), 5.0).expect_err(row);
        assert!(
            reported_all.contains(reported) && reported_all.contains("dataset.max_rejected_percent"),
            "{reported_all}"
        );
        assert_eq!(with(ids(0, 100) + &bad(row, 20), 50.0).expect("raised").rejected, 20);
        assert_eq!(with(ids(0, 100) + &bad(row, 5), 5.0).expect("few").rejected, 5);
    }
    assert_eq!(with(ids(0, 100) + &bad("uN,tt1,1\n", 20), 5.0).expect("nothing is lost").rejected, 20);

    let movies: String = (0..40).map(|n| format!("m{n},\"[{{'id': 1, \"\n")).collect();
    let ratings = [
        ("movies.csv", format!("id,genres\n{movies}")),
        ("ratings.csv", "user,movie,label\na,m1,1\nb,m1,0\nc,m1,-1\n".to_owned()),
    ];
    let reported = refused(&ratings.each_ref().map(|(name, text)| (*name, text.as_str())));
    assert!(reported.contains("movies.csv: 40 of 40 rows (100 %) have a cell genre that cannot be read"), "{reported}");
}

#[test]
fn the_header_does_not_decide_the_scale() {
    for column in ["rating", "label", "Score"] {
        let with = |values: [&str; 4]| {
            let rows: String = values.iter().zip(0..).map(|(v, n)| format!("u{n},tt1,{v}\n")).collect();
            let reading = read_all(&[("movies.csv", MOVIES), ("ratings.csv", &format!("user,movie,{column}\n{rows}"))]);
            let reading = reading.expect("one scale");
            (reading.dataset.label_counts(), reading.read_as.clone(), reading)
        };
        let (counts, reported, _) = with(["-1", "0", "1", "1"]);
        assert_eq!((counts, reported.contains("read as labels")), ([1, 1, 2], true), "{reported}");
        let (counts, reported, reading) = with(["1", "3.5", "4", "5"]);
        assert_eq!((counts, reported.contains("read as stars")), ([1, 1, 2], true), "{reported}");
        assert!(reading.describe().to_string().starts_with(&reported), "{reported}");
        let (counts, reported, _) = with(["4", "7", "8", "10"]);
        assert_eq!((counts, reported.contains("points from 1 to 10: at most 4")), ([1, 1, 2], true), "{reported}");
        let (counts, reported, _) = with(["0", "50", "80", "100"]);
        assert_eq!((counts, reported.contains("points from 0 to 100: at most 40")), ([1, 1, 2], true), "{reported}");
        let (counts, _, reading) = with(["like", "dislike", "like", "like"]);
        assert_eq!((counts, reading.check_trainable().is_ok()), ([1, 0, 3], true));
        let (_, _, reading) = with(["like", "like", "like", "like"]);
        let reported = reading.check_trainable().expect_err("one class").to_string();
        assert!(reported.contains("all 4 ratings are a like"), "{reported}");
    }
    for values in ["0\nu2,tt1,1", "1\nu2,tt1,1", "1\nu2,tt1,3"] {
        let reported =
            refused(&[("movies.csv", MOVIES), ("ratings.csv", &format!("user,movie,rating\nu1,tt1,{values}\n"))]);
        assert!(reported.contains("dataset.scale") && reported.contains("the column rating"), "{reported}");
    }
}

#[test]
fn layouts_of_other_tools_give_the_same_dataset() {
    let movies =
        "movieId,title,genres\n7,Toy Story (1995),Animation|Comedy\n8,Fawlty Towers (1975-1979),(no genres listed)\n";
    let ratings = "userId,movieId,rating,timestamp\n1,7,5,9\n1,8,3,9\n2,7,1,9\n";
    let expected = read_all(&[("movies.csv", movies), ("ratings.csv", ratings)]).expect("valid").dataset;
    assert_eq!((expected.movies[1].name.as_str(), expected.movies[1].year), ("Fawlty Towers", Some(1975)));
    let semicolons = |text: &str| text.replace(',', ";");
    let whole = |text: &str| {
        let row = |(number, line): (usize, &str)| {
            format!("{},{line}\n", if number == 0 { String::new() } else { number.to_string() })
        };
        text.lines().enumerate().map(row).collect::<String>()
    };
    let python =
        movies.replace("Animation|Comedy", "\"[{'id': 1, 'name': 'Animation'}, {'id': 2, 'name': 'Comedy'}]\"");
    let floats = ratings.replace("1,7,", "1.0,7.0,").replace("1,8,3", "1.0,8.0,3,0");
    let floats = floats.replace(",3,0", ",3.0");
    for (movies, ratings) in [
        (semicolons(movies), semicolons(ratings).replace(";3;", ";3,0;")),
        (movies.replace(',', "\t"), ratings.replace(',', "\t")),
        (whole(movies), whole(ratings)),
        (python.replace("(no genres listed)", "[]"), ratings.to_owned()),
        (movies.replace("\n7,", "\n7.0,"), floats),
        (movies.replace("movieId", "Movie ID"), ratings.replace("userId,movieId", "User-ID,Movie ID")),
    ] {
        let reading = read_all(&[("movies.csv", &movies), ("ratings.csv", &ratings)]).expect("valid");
        assert_eq!(reading.dataset, expected, "{movies}{ratings}");
        assert_eq!(reading.rejected, 0);
    }
    let dat = |text: &str| text.lines().skip(1).map(|line| line.replace(',', "::") + "\n").collect::<String>();
    let reading = read_all(&[
        ("movies.dat", &dat(movies)),
        ("ratings.dat", &dat(ratings)),
        ("users.dat", "1::F::25::10::48067\n"),
    ]);
    let reading = reading.expect("valid");
    assert_eq!((reading.layout, &reading.dataset.movies), (Layout::MovielensDat, &expected.movies));
    assert_eq!(reading.dataset.ratings, expected.ratings);
    assert_eq!(reading.dataset.users[0].attributes["gender"], "F");
}

#[test]
fn columns_and_files_that_are_not_read_are_noted() {
    let movies = "movieId,title,genres,poster\n1,A,B,x\n";
    let ratings = "userId,movieId,rating,timestamp\n1,1,5,9\n";
    let reading = read_all(&[("movies.csv", movies), ("ratings.csv", ratings), ("links.csv", "x\n")]).expect("valid");
    assert_eq!(reading.notes, ["movies.csv: columns not read: \"poster\"", "folder: files not read: \"links.csv\""]);
}

/// Times are read from every layout that has them, in the order of the ratings, and all or none.
#[test]
fn times_follow_their_ratings() {
    let movies = "movieId,title,genres\n1,A,B\n2,C,B\n";
    let read = |ratings: &str| read_all(&[("movies.csv", movies), ("ratings.csv", ratings)]).expect("valid");
    let reading = read("userId,movieId,rating,timestamp\n2,1,5,30\n1,2,1,20.0\n1,1,5,10\n1,1,5,99\n");
    assert_eq!(reading.dataset.times(), Some([10, 20, 30].as_slice()));
    assert!(reading.notes.is_empty(), "{:?}", reading.notes);
    let dates = read("userId,movieId,rating,time\n1,1,5,1970-01-02\n1,2,1,1970-01-01T00:01:00Z\n");
    assert_eq!(dates.dataset.times(), Some([86_400, 60].as_slice()));
    let partly = read("userId,movieId,rating,timestamp\n1,1,5,10\n1,2,1,soon\n");
    assert_eq!(partly.dataset.times(), None);
    assert_eq!(partly.notes, ["ratings.csv: times not read: 1 of 2 ratings have no time in seconds and no date"]);
    let without = read("userId,movieId,rating\n1,1,5\n1,2,1\n");
    assert_eq!((without.dataset.times(), without.notes.len()), (None, 0));
    let (one, other) = (reading.dataset.clone(), without_times(reading.dataset));
    assert_ne!(one.content_hash(), other.content_hash());
    assert_ne!(one.canonical_json().expect("valid"), other.canonical_json().expect("valid"));
    let json = one.canonical_json().expect("valid");
    assert_eq!(serde_json::from_str::<crate::dataset::Dataset>(&json).expect("its own form"), one);
}

fn without_times(dataset: crate::dataset::Dataset) -> crate::dataset::Dataset {
    crate::dataset::Dataset { times: Vec::new(), ..dataset }
}

#[test]
fn the_catalogue_names_trailers_anywhere() {
    let movies = "id,trailer\nm1,video/a.ts\nm2,/data/b.mp4\nm3,s3://bucket/c d.mkv\nm4,file:///e.webm\nm5,https://h/f.mp4\n\
                  m6,../g.mp4\nm7,trailers/m1.mp4\nm8,\nm9,ftp://x\nm10,s3://bucket\nm11,https://h\n";
    let ratings = "user,movie,label\na,m1,1\na,m2,-1\n";
    let files = memory(
        &[("movies.csv", movies.as_bytes()), ("ratings.csv", ratings.as_bytes())],
        &["trailers/m1.mp4", "trailers/m2.mp4", "trailers/m8.mp4"],
    );
    let reading = read(&files, &ReadSettings::default()).expect("valid");
    let found: Vec<(&str, &str)> = reading.trailers.iter().collect();
    assert_eq!(
        found,
        [
            ("m1", "video/a.ts"),
            ("m2", "file:///data/b.mp4"),
            ("m3", "s3://bucket/c d.mkv"),
            ("m4", "file:///e.webm"),
            ("m5", "https://h/f.mp4"),
            ("m7", "trailers/m1.mp4"),
            ("m8", "trailers/m8.mp4"),
        ]
    );
    let reported = reasons(&reading).join("\n");
    for part in [
        "\"m11\", cell trailer: not a location: write https://host/path",
        "\"m6\", cell trailer: a path outside",
        "\"m9\", cell trailer: only paths",
        "\"m10\", cell trailer: not a location: write s3://bucket/key",
        "\"m2.mp4\": a second trailer of this movie: file:///data/b.mp4 is kept",
    ] {
        assert!(reported.contains(part), "{part} is not in\n{reported}");
    }
    assert_eq!(reading.rejected, 5, "{reported}");
}

#[test]
fn trailers_alone_are_a_catalogue() {
    for names in [&["a b.mp4", "फिल्म.mkv", "notes.txt"][..], &["trailers/a b.mp4", "trailers/फिल्म.mkv"]]
    {
        let reading = read(&memory(&[], names), &ReadSettings::default()).expect("trailers");
        let ids: Vec<&str> = reading.trailers.keys().collect();
        assert_eq!((ids, reading.layout), (vec!["a b", "फिल्म"], Layout::Trailers));
        assert_eq!((reading.dataset.movies.len(), reading.dataset.ratings.len(), reading.rejected), (2, 0, 0));
        assert!(reading.check_trainable().expect_err("no ratings").to_string().contains("no ratings"));
    }
    let long = format!("{}.mp4", "é".repeat(120));
    let names = ["Film [dQw4w9] #1.mp4", "\u{202e}x.mp4", &long];
    let reading = read(&memory(&[], &names), &ReadSettings::default()).expect("trailers");
    let ids: Vec<&str> = reading.trailers.keys().collect();
    assert_eq!((&ids[..2], ids.len()), (&["Film _dQw4w9_ _1", "_x"][..], 3));
    assert!(super::readers::reject::is_movie_id(ids[2]) && ids[2].len() <= 180, "{}", ids[2]);
    assert!(reading.notes.iter().any(|note| note.contains("3 names are not valid as ids")), "{:?}", reading.notes);
}

#[test]
fn trailers_in_folders_are_found_by_name_or_by_the_name_of_their_folder() {
    let movies = "id,name\ntt1,One\nm2,Two\nTT3,Three\nm4,Four\nM4,Other\n";
    let ratings = "user,movie,label\na,tt1,1\na,m2,-1\n";
    let names = [
        "trailers/2024/may/tt1.mp4",
        "trailers/m2/official trailer.mp4",
        "trailers/m2/teaser.mp4",
        "trailers/tt3.MOV",
        "trailers/m4.mp4",
        "trailers/other/thing.mp4",
        "trailers/m2/poster.jpg",
        "elsewhere/tt1.mp4",
    ];
    let files = memory(&[("movies.csv", movies.as_bytes()), ("ratings.csv", ratings.as_bytes())], &names);
    let mut reading = read(&files, &ReadSettings::default()).expect("valid");
    let found: Vec<(&str, &str)> = reading.trailers.iter().collect();
    assert_eq!(
        found,
        [
            ("TT3", "trailers/tt3.MOV"),
            ("m2", "trailers/m2/official trailer.mp4"),
            ("m4", "trailers/m4.mp4"),
            ("tt1", "trailers/2024/may/tt1.mp4"),
        ]
    );
    let reported = reasons(&reading).join("\n");
    for part in [
        "\"m2/teaser.mp4\": a second trailer of this movie: trailers/m2/official trailer.mp4 is kept",
        "\"other/thing.mp4\": the catalogue has no movie",
        "\"m2/poster.jpg\": not a trailer",
    ] {
        assert!(reported.contains(part), "{part} is not in\n{reported}");
    }
    assert_eq!((reading.rejected, &reading.other_trailers["m2"]), (3, &vec!["trailers/m2/teaser.mp4".to_owned()]));
    reading.replace_trailer("m2", "trailers/m2/teaser.mp4", "it does not open");
    assert_eq!(&reading.trailers["m2"], "trailers/m2/teaser.mp4");
    let reported = reasons(&reading).join("\n");
    let part =
        "\"m2/official trailer.mp4\": it cannot be used (it does not open): trailers/m2/teaser.mp4 is taken instead";
    assert!(reported.contains(part) && reading.rejected == 3, "{reported}");
}

#[test]
fn trailers_of_one_name_in_several_folders_are_called_by_their_path() {
    let names = ["one/trailer.mp4", "two/trailer.mp4", "deep/er/clip.mkv", "top.webm"];
    let reading = read(&memory(&[], &names), &ReadSettings::default()).expect("trailers");
    let ids: Vec<&str> = reading.trailers.keys().collect();
    assert_eq!(ids, ["clip", "one - trailer", "top", "two - trailer"]);
    assert!(reading.notes.iter().any(|note| note.contains("FOLDER - NAME")), "{:?}", reading.notes);
}

#[test]
fn the_catalogue_states_size_tag_and_sha_256() {
    let sha256 = "ab".repeat(32);
    let movies = format!(
        "id,trailer,size,etag,sha256\nm1,s3://b/1.mp4,12.0,\"\"\"x-1\"\"\",\nm2,/m2.mp4,,,sha256:{}\nm3,/m3.mp4,many,,abc\n",
        sha256.to_uppercase()
    );
    let settings = ReadSettings { max_rejected_percent: 100.0, ..Default::default() };
    let reading = read(&memory(&[("movies.csv", movies.as_bytes())], &[]), &settings).expect("a catalogue alone");
    assert_eq!((reading.layout, reading.trailers.len(), reading.rejected), (Layout::Trailers, 3, 2));
    let stated = &reading.stated;
    assert_eq!((stated["m1"].size, stated["m1"].tag.as_deref()), (Some(12), Some("x-1")));
    assert_eq!(stated["m2"].sha256.map(|hash| hash.to_string()), Some(sha256));
    assert!(
        !stated.contains_key("m3") && reasons(&reading)[0].contains("cell trailer_size"),
        "{:?}",
        reasons(&reading)
    );
    let m1 = &stated["m1"];
    assert_eq!(m1.difference(12, Some("\"x-1\"")), None);
    for (size, tag, part) in [(13, Some("x-1"), "13 bytes"), (12, Some("y"), "replaced"), (12, None, "SHA-256 instead")]
    {
        assert!(m1.difference(size, tag).expect("it differs").contains(part));
    }
}

/// Returns a Parquet file of three columns: id, year (missing in the second row) and genres.
fn parquet(compression: parquet::basic::Compression) -> Vec<u8> {
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    let schema = "message movies {
        required binary id (STRING);
        optional int64 year;
        required group genres (LIST) { repeated group list { required binary element (STRING); } }
    }";
    let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema).expect("a schema"));
    let properties = std::sync::Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).expect("a file");
    let mut rows = writer.next_row_group().expect("rows");
    let texts = |all: &[&str]| all.iter().map(|text| ByteArray::from(*text)).collect::<Vec<_>>();
    let mut column = rows.next_column().expect("readable").expect("id");
    column.typed::<ByteArrayType>().write_batch(&texts(&["m1", "फिल्म 2"]), None, None).expect("two");
    column.close().expect("written");
    let mut column = rows.next_column().expect("readable").expect("year");
    column.typed::<Int64Type>().write_batch(&[1999], Some(&[1, 0]), None).expect("one");
    column.close().expect("written");
    let mut column = rows.next_column().expect("readable").expect("genres");
    let genres = texts(&["Drama", "Sci-Fi, \"hard\"", "Action"]);
    column.typed::<ByteArrayType>().write_batch(&genres, Some(&[1, 1, 1]), Some(&[0, 1, 0])).expect("three");
    column.close().expect("written");
    rows.close().expect("written");
    writer.into_inner().expect("written")
}

#[test]
fn a_catalogue_in_parquet_is_read_as_the_table_of_the_same_columns() {
    use parquet::basic::Compression::{GZIP, LZ4_RAW, SNAPPY, UNCOMPRESSED, ZSTD};
    let ratings = "user,movie,label\na,m1,1\na,फिल्म 2,-1\n";
    let with = |bytes: &[u8]| {
        let files = [("movies.parquet", bytes), ("ratings.csv", ratings.as_bytes())];
        read(&memory(&files, &[]), &ReadSettings::default())
    };
    let bytes = parquet(UNCOMPRESSED);
    let reading = with(&bytes).expect("valid");
    for compression in [SNAPPY, GZIP(Default::default()), ZSTD(Default::default()), LZ4_RAW] {
        assert_eq!(with(&parquet(compression)).expect("valid").dataset, reading.dataset, "{compression}");
    }
    let movies = &reading.dataset.movies;
    assert_eq!(
        (movies[0].id.as_str(), movies[0].year, &movies[0].genres[..]),
        ("m1", Some(1999), &["Drama".to_owned(), "Sci-Fi, \"hard\"".to_owned()][..])
    );
    assert_eq!(
        (movies[1].id.as_str(), movies[1].year, &movies[1].genres[..]),
        ("फिल्म 2", None, &["Action".to_owned()][..])
    );
    for damaged in [&bytes[..bytes.len() / 2], b"PAR1", b""] {
        let reported = with(damaged).expect_err("damaged").to_string();
        assert!(reported.contains("movies.parquet cannot be read as Parquet"), "{reported}");
    }
    let both = [("movies.parquet", &bytes[..]), ("movies.csv", MOVIES.as_bytes()), ("ratings.csv", ratings.as_bytes())];
    let reported = read(&memory(&both, &[]), &ReadSettings::default()).expect_err("two catalogues").to_string();
    assert!(reported.contains("remove one"), "{reported}");
}

#[test]
fn names_with_accents_apart_are_those_of_the_table() {
    let (composed, apart) = ("Am\u{e9}lie", "Ame\u{301}lie");
    for (table, other) in [(composed, apart), (apart, composed)] {
        let movies = format!("id,name\n{table},One\nm2,Two\n");
        let ratings = format!("user,movie,label\na,{other},1\na,m2,-1\n");
        let key = format!("trailers/{}.MP4", other.to_lowercase());
        let files = memory(&[("movies.csv", movies.as_bytes()), ("ratings.csv", ratings.as_bytes())], &[&key]);
        let reading = read(&files, &ReadSettings::default()).expect("valid");
        assert_eq!(reading.trailers.get(table), Some(key.as_str()), "{:?}", reasons(&reading));
        assert_eq!((reading.dataset.ratings.len(), reading.rejected), (2, 0));
    }
    // Two movies that differ in nothing else stay two.
    let movies = format!("id,name\n{composed},One\n{apart},Two\n");
    let ratings = format!("user,movie,label\na,{composed},1\na,{apart},-1\n");
    let files = memory(&[("movies.csv", movies.as_bytes()), ("ratings.csv", ratings.as_bytes())], &[]);
    let reading = read(&files, &ReadSettings::default()).expect("valid");
    assert_eq!((reading.dataset.movies.len(), reading.dataset.ratings.len()), (2, 2));
}

#[test]
fn movie_ids_may_be_of_any_script_and_must_be_seen() {
    let valid = super::readers::reject::is_movie_id;
    for id in ["tt1", "_x", "a.b-c", "फिल्म 1", "シン・ゴジラ", "Amélie (2001)", "كفرناحوم", "🎬", "don't, look"]
    {
        assert!(valid(id), "{id}");
    }
    for id in
        ["", ".x", "-x", "a/b", "a\\b", "a@b", "a\u{202E}b", "a\u{200B}", " a", "a ", "a\tb", "a\u{1b}", "a:b", "a*"]
    {
        assert!(!valid(id), "{id:?}");
    }
    assert!(valid(&"अ".repeat(60)) && !valid(&"अ".repeat(61)));
}
