use super::*;

/// Sunday, 2026-11-29, 12:00 UTC; 21:00 in Tokyo.
fn now() -> Timestamp {
    "2026-11-29T12:00:00.25Z".parse().unwrap()
}

fn in_zone(text: &str, zone: &str, left_out: LeftOut) -> Result<String, String> {
    let zone = TimeZone::get(zone).unwrap();
    let when = TypedTime::read(text).and_then(|typed| typed.when(&zone, now(), left_out));
    when.map(|at| at.to_string()).map_err(|e| format!("{}\nhint: {}", e.chain(), e.hint().unwrap_or_default()))
}

fn berlin(text: &str) -> Result<String, String> {
    in_zone(text, "Europe/Berlin", LeftOut::Begin)
}

#[test]
fn times_are_read_as_people_write_them() {
    for (text, expected) in [
        ("now", "2026-11-29T12:00:00Z"),
        ("NOW", "2026-11-29T12:00:00Z"),
        ("5 minutes ago", "2026-11-29T11:55:00Z"),
        ("1h 30m ago", "2026-11-29T10:30:00Z"),
        ("1 day, 2 hours ago", "2026-11-28T10:00:00Z"),
        ("5 Weeks ago", "2026-10-25T12:00:00Z"),
        ("6 weeks ago", "2026-10-18T11:00:00Z"),
        ("today", "2026-11-28T23:00:00Z"),
        ("yesterday", "2026-11-27T23:00:00Z"),
        ("12:00", "2026-11-29T11:00:00Z"),
        ("12:59:59.5", "2026-11-29T11:59:59.5Z"),
        ("20:00 Asia/Tokyo", "2026-11-29T11:00:00Z"),
        ("20:00+09:00", "2026-11-29T11:00:00Z"),
        ("00:00", "2026-11-28T23:00:00Z"),
        ("yesterday 14:00", "2026-11-28T13:00:00Z"),
        ("Yesterday 14:00:30.5 Asia/Tokyo", "2026-11-28T05:00:30.5Z"),
        ("today 09:00 +09:00", "2026-11-29T00:00:00Z"),
        ("2026-11-26", "2026-11-25T23:00:00Z"),
        ("2026-11-26 UTC", "2026-11-26T00:00:00Z"),
        ("2026-11-26 22:01", "2026-11-26T21:01:00Z"),
        ("2026-11-26T22:01:02.5", "2026-11-26T21:01:02.5Z"),
        ("2026-11-26T22:01:02Z", "2026-11-26T22:01:02Z"),
        ("2026-11-26 22:01:02 UTC", "2026-11-26T22:01:02Z"),
        ("2026-11-26 22:01:02 GMT", "2026-11-26T22:01:02Z"),
        ("2026-11-26T22:01:02+01:00", "2026-11-26T21:01:02Z"),
        ("2026-11-26 22:01:02 +09:00", "2026-11-26T13:01:02Z"),
        ("2026-11-26 22:01:02 +0900", "2026-11-26T13:01:02Z"),
        ("2026-11-26 22:01:02+09", "2026-11-26T13:01:02Z"),
        ("2026-11-26 22:01:02 -05:00", "2026-11-27T03:01:02Z"),
        ("2026-11-30 19:47:52 America/New_York", "2026-12-01T00:47:52Z"),
        ("2026-07-01 19:47:52 America/New_York", "2026-07-01T23:47:52Z"),
        ("2026-11-30 19:47:52 Asia/Kathmandu", "2026-11-30T14:02:52Z"),
        ("2026-11-30T19:47:52-05:00[America/New_York]", "2026-12-01T00:47:52Z"),
        ("  1969-12-31 23:59:58.5 UTC ", "1969-12-31T23:59:58.5Z"),
    ] {
        assert_eq!(berlin(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_time_is_refused_with_the_way_to_write_it() {
    for (text, why) in [
        ("2026-11-31", "`2026-11-31` is not a time"),
        ("2026-11-26 25:00", "is not a time"),
        ("2026-11-26 2200", "is not a time"),
        ("2026-11-26T", "is not a time"),
        ("2026-11-26x", "is not a time"),
        ("yesterdays", "is not a time"),
        ("yesterdayT14:00", "is not a time"),
        ("tomorrow", "`yesterday 02:00`"),
        ("noon", "`5 minutes ago`"),
        ("14:00", "`14:00` is today, and yet to come: in Europe/Berlin it is 13:00:00"),
        ("14:00", "`yesterday 14:00`, `2026-11-29 14:00`"),
        ("22:01 Asia/Tokyo", "`yesterday 22:01 Asia/Tokyo`"),
        ("14:00 CET", "`CET` is not a time zone"),
        ("25:00", "is not a time"),
        ("9:30", "is not a time"),
        ("09:30pm", "`09:30pm` is not a time"),
        ("5 minutes", "is not a time"),
        ("a while ago", "is not a time"),
        ("-5 minutes ago", "is not a time"),
        ("2026-11-26 22:01:02 +25:00", "`+25:00` is not an offset from UTC"),
        ("2026-11-30 19:47:52 America/New_Yorck", "`America/New_Yorck` is not a time zone"),
        ("2026-11-30T19:47:52+03:00[America/New_York]", "is not a time"),
        ("9999-12-31 23:59:59 -12:00", "beyond all time"),
        ("20000 years ago", "is"),
        ("", "is not a time"),
        ("é026-11-26", "is not a time"),
    ] {
        let shown = berlin(text).expect_err(text);
        assert!(shown.contains(why), "{text}: {shown}");
    }
    for zone in ["EST", "JST", "CET", "PDT", "est", "EST5EDT", "Japan", "local"] {
        let shown = berlin(&format!("2026-11-30 19:47:52 {zone}")).expect_err(zone);
        assert!(shown.contains(&format!("`{zone}` is not a time zone")), "{shown}");
        assert!(shown.contains("`2026-11-30 19:47:52 +09:00`, `2026-11-30 19:47:52 America/New_York`"), "{shown}");
    }
}

#[test]
fn an_hour_that_is_there_twice_or_never_is_written_with_its_offset() {
    let twice = berlin("2026-10-25 02:30").unwrap_err();
    assert!(twice.contains("showed twice"), "{twice}");
    assert!(twice.contains("`2026-10-25 02:30:00 +02:00` or `2026-10-25 02:30:00 +01:00`"), "{twice}");
    assert_eq!(berlin("2026-10-25 02:30:00 +01:00").as_deref(), Ok("2026-10-25T01:30:00Z"));
    assert!(berlin("2026-03-29 02:30").unwrap_err().contains("never showed"));
    assert!(berlin("2026-10-25 02:30 America/New_York").is_ok());
    assert_eq!(
        in_zone("2026-10-25 02:30", "Europe/Berlin", LeftOut::End).as_deref(),
        Ok("2026-10-25T00:30:59.999999999Z")
    );
}

#[test]
fn what_a_listing_shows_finds_the_snapshot() {
    for (text, expected) in [
        ("2026-11-26", "2026-11-26T22:59:59.999999999Z"),
        ("yesterday", "2026-11-28T22:59:59.999999999Z"),
        ("2026-11-26 22:01", "2026-11-26T21:01:59.999999999Z"),
        ("13:00", "2026-11-29T12:00:59.999999999Z"),
        ("2026-11-26 22:01 +01:00", "2026-11-26T21:01:59.999999999Z"),
        ("2026-11-26T22:01+01:00", "2026-11-26T21:01:59.999999999Z"),
        ("2026-11-26T22:01:02", "2026-11-26T21:01:02.999999999Z"),
        ("2026-11-26 22:01:02 +01:00", "2026-11-26T21:01:02.999999999Z"),
        ("2026-11-26T22:01:02.5", "2026-11-26T21:01:02.5Z"),
        ("2026-11-26T21:01:02Z", "2026-11-26T21:01:02.999999999Z"),
        ("5 minutes ago", "2026-11-29T11:55:00.25Z"),
    ] {
        assert_eq!(in_zone(text, "Europe/Berlin", LeftOut::End).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_resembles_a_time_is_no_name() {
    for text in [
        "2026-11-31",
        "2026-11",
        "2026-11-26-before-release",
        "20261126",
        "20261126T2201",
        "11/26/2026",
        "26.11.2026",
        "14:00",
        "9:30pm",
        "26 Nov 2026",
        "Nov 26 2026",
        "november",
        "Mon, 26 Nov",
        "tuesday",
        "now",
        "now-5min",
        "today",
        "tomorrow",
        "noon",
        "5 minutes ago",
        "five minutes ago",
        "a while ago",
        "5 minutes",
        "5min",
        "last monday",
        "last night",
        "next week",
        "@1700000000",
        "1700000000",
        "P1D",
    ] {
        assert!(resembles_a_time(text), "{text}");
    }
    for text in [
        "before migration",
        "before_migration",
        "v1.2.3",
        "1.2.3",
        "release 2026",
        "nightly",
        "later",
        "last good",
        "42",
        "16/B374D8489",
        "x/1",
        "a:b",
        "time",
        "monthly",
        "decommission",
        "marching",
        "snowfall",
        "nobody-made-this",
        "",
    ] {
        assert!(!resembles_a_time(text), "{text}");
    }
}

#[test]
fn zones_come_back_by_the_names_that_snapshots_keep() {
    for name in ["Asia/Tokyo", "America/New_York", "UTC", "+09:00", "-05:00", "Etc/GMT+9"] {
        let zone = zone_named(name).unwrap();
        assert_eq!(zone_shown(&zone, now()), name);
    }
    assert_eq!(zone_shown(&TimeZone::unknown(), now()), "UTC");
    for name in ["Mars/Olympus", "localtime", "right/Asia/Tokyo", "+99:00", "", "Etc/Unknown"] {
        assert!(zone_named(name).is_none(), "{name}");
    }
}
