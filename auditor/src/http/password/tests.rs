use super::*;

/// Quick, for tests.
const COST: u32 = 4;

fn users(list: &[(&str, &str, u32)]) -> Users {
    let hash = |password: &str, cost| bcrypt::hash_with_salt(password, cost, [7; 16]).unwrap().to_string();
    Users::new(list.iter().map(|(name, password, cost)| ((*name).to_owned(), hash(password, *cost))).collect())
}

fn header(name: &str, password: &str) -> HeaderValue {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))).parse().unwrap()
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

#[tokio::test]
async fn the_right_password_is_let_in_and_nothing_else() {
    let keeper = Doorkeeper::new([1; 32]);
    let users = users(&[("ann", "pass:word", COST), ("bob", "", COST)]);
    let ask = async |header: HeaderValue| keeper.admit(&users, address(1), Some(&header)).await;
    for _ in 0..2 {
        assert_eq!(ask(header("ann", "pass:word")).await, Verdict::In);
        assert_eq!(ask(header("bob", "")).await, Verdict::In);
    }
    let lower = header("ann", "pass:word").to_str().unwrap().replacen("Basic", "basic", 1);
    assert_eq!(ask(lower.parse().unwrap()).await, Verdict::In);
    for (name, password) in
        [("ann", "pass:worD"), ("ann", ""), ("bob", "pass:word"), ("", ""), ("carl", "fakepassword")]
    {
        assert_eq!(ask(header(name, password)).await, Verdict::Refused, "{name} {password}");
    }
    for text in ["", "Basic", "Basic ", "Basic ###", "Bearer YW5uOnBhc3M6d29yZA==", "Basic YW5u"] {
        assert_eq!(ask(text.parse().unwrap()).await, Verdict::Refused, "{text}");
    }
    assert_eq!(keeper.admit(&users, address(1), None).await, Verdict::Refused);
}

#[tokio::test]
async fn who_was_let_in_is_known_and_who_was_not_is_not() {
    let keeper = Doorkeeper::new([1; 32]);
    let before = users(&[("ann", "old", COST)]);
    assert_eq!(keeper.admit(&before, address(1), Some(&header("ann", "old"))).await, Verdict::In);
    assert_eq!(keeper.admit(&before, address(1), Some(&header("ann", "new"))).await, Verdict::Refused);
    assert_eq!(lock(&keeper.known).len(), 1);
    // Another password in the configuration: what is remembered of the old one opens nothing.
    let after = users(&[("ann", "new", COST)]);
    assert_eq!(keeper.admit(&after, address(1), Some(&header("ann", "old"))).await, Verdict::Refused);
    assert_eq!(keeper.admit(&after, address(1), Some(&header("ann", "new"))).await, Verdict::In);
    assert_eq!(keeper.admit(&users(&[]), address(1), Some(&header("ann", "new"))).await, Verdict::Refused);
}

#[tokio::test]
async fn an_unknown_name_takes_as_long_as_the_slowest_that_is_known() {
    let users = users(&[("ann", "a", 4), ("bob", "b", 6)]);
    assert_eq!(check_hash(&users.nobody), Ok(6));
    assert!(!bcrypt::verify("", &users.nobody).unwrap());
}

#[tokio::test]
async fn strangers_wait_in_a_bounded_queue_and_hold_up_nobody_from_elsewhere() {
    let keeper = Doorkeeper::new([1; 32]);
    let users = Arc::new(users(&[("ann", "secret", COST)]));
    let ask = |from: u8, password: String| {
        let (keeper, users) = (Arc::clone(&keeper), Arc::clone(&users));
        tokio::spawn(async move { keeper.admit(&users, address(from), Some(&header("ann", &password))).await })
    };
    // Somebody has the turn: all others wait.
    let turn = Arc::clone(&keeper.turn).acquire_owned().await.unwrap();
    let flood: Vec<_> = (0..200).map(|number| ask(1, format!("guess {number}"))).collect();
    let friend = ask(2, "secret".to_owned());
    sleep(Duration::from_millis(100)).await;
    assert_eq!(lock(&keeper.waiting).values().sum::<usize>(), MAX_WAITING_FROM_ONE + 1);
    drop(turn);
    let mut refused = 0;
    for stranger in flood {
        refused += usize::from(stranger.await.unwrap() == Verdict::Refused);
    }
    assert_eq!(refused, MAX_WAITING_FROM_ONE);
    assert_eq!(friend.await.unwrap(), Verdict::In);
    assert!(lock(&keeper.waiting).is_empty());
    // From everywhere at once: a bound on all of them.
    let _turn = Arc::clone(&keeper.turn).acquire_owned().await.unwrap();
    let many: Vec<_> = (0..=255).map(|from| ask(from, "guess".to_owned())).collect();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(lock(&keeper.waiting).values().sum::<usize>(), MAX_WAITING);
    many.into_iter().for_each(|task| task.abort());
}

#[tokio::test]
async fn after_a_wrong_password_nobody_s_is_checked_for_a_while() {
    let keeper = Doorkeeper::new([1; 32]);
    let users = users(&[("ann", "secret", 8)]);
    let hash = users.hashes["ann"].clone();
    let began = Instant::now();
    assert!(!bcrypt::verify("guess", &hash).unwrap());
    let one = began.elapsed();
    let began = Instant::now();
    for guess in ["1", "2", "3", "4"] {
        assert_eq!(keeper.admit(&users, address(1), Some(&header("ann", guess))).await, Verdict::Refused);
    }
    // Four checks and three rests; half of that, for another program may have had the processor while one was measured.
    assert!(began.elapsed() > one * (4 + 3 * REST) / 2, "{:?}, and one takes {one:?}", began.elapsed());
}

#[test]
fn hashes_are_looked_at_before_anybody_comes() {
    let good = bcrypt::hash_with_salt("x", 10, [0; 16]).unwrap();
    for version in [bcrypt::Version::TwoA, bcrypt::Version::TwoB, bcrypt::Version::TwoY] {
        assert_eq!(check_hash(&good.format_for_version(version)), Ok(10));
    }
    let good = good.to_string();
    let rows = [
        ("", "no bcrypt hash"),
        ("secret", "no bcrypt hash"),
        ("$apr1$salt$hash", "2a, 2b and 2y"),
        (&good.replacen("2b", "2x", 1), "2a, 2b and 2y"),
        (&good.replacen("$10$", "$3$", 1), "cost"),
        (&good.replacen("$10$", "$32$", 1), "cost"),
        (&good.replacen("$10$", "$15$", 1), "14 is the most"),
        (&good[..good.len() - 1], "cut off"),
        (&good.replacen("$10$", "$10$!", 1), "cut off"),
        (&format!("{good}\u{e9}"), "cut off"),
    ];
    for (hash, words) in rows {
        let reason = check_hash(hash).unwrap_err();
        assert!(reason.contains(words) && (hash.is_empty() || !reason.contains(hash)), "{hash}: {reason}");
    }
}

#[test]
fn addresses_of_one_network_are_one() {
    let same = |one: &str, other: &str| network(one.parse().unwrap()) == network(other.parse().unwrap());
    assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"));
    assert!(!same("2001:db8:0:1::1", "2001:db8:0:2::1"));
    assert!(!same("192.0.2.1", "192.0.2.2"));
    assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
}
