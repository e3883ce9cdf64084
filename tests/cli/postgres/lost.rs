//! Statements that are carried out and whose confirmation is lost: they are asked again, and nothing is lost by that.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{TOKEN, lives};
use crate::support::postgres::{Database, shared};
use crate::support::{Rotating, Rotation, TestEnv};

/// What the database sends last after a statement that is over, outside of a transaction.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// What stands between a client and a database, as long as the tests run. The first answer to a statement with these
/// words in it is swallowed, and the connection with it.
struct Lossy {
    port: u16,
    /// How often the words were seen.
    seen: Arc<AtomicUsize>,
}

impl Lossy {
    fn before(database: &Database<'_>, words: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (port, upstream) = (listener.local_addr().expect("an address").port(), database.cluster.port);
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", upstream)).expect("a database");
                pass_on(client, server, words, &counter);
            }
        });
        Self { port, seen }
    }

    /// A world whose way to the database this is.
    fn lead(&self, env: &mut TestEnv, database: &Database<'_>) {
        env.set("TOKMAN_STORE", database.url_at("127.0.0.1", self.port));
    }

    /// How often the statement was sent.
    fn sent(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

/// Carries what is asked there and what is answered back.
fn pass_on(mut client: TcpStream, mut server: TcpStream, words: &'static str, seen: &Arc<AtomicUsize>) {
    let (mut asking, mut asked) = (client.try_clone().expect("a stream"), server.try_clone().expect("a stream"));
    let is_first = Arc::new(AtomicUsize::new(0));
    let (counter, swallows) = (Arc::clone(seen), Arc::clone(&is_first));
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read) = asking.read(&mut buffer)
            && read > 0
        {
            let bytes = &buffer[..read];
            if bytes.windows(words.len()).any(|part| part == words.as_bytes())
                && counter.fetch_add(1, Ordering::SeqCst) == 0
            {
                swallows.store(1, Ordering::SeqCst);
            }
            if asked.write_all(bytes).is_err() {
                break;
            }
        }
        drop(asked.shutdown(Shutdown::Both));
    });
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read) = server.read(&mut buffer)
            && read > 0
        {
            let bytes = &buffer[..read];
            if is_first.load(Ordering::SeqCst) == 1 {
                // Only once it is done is its confirmation lost.
                if bytes.ends_with(READY) {
                    break;
                }
            } else if client.write_all(bytes).is_err() {
                break;
            }
        }
        drop(client.shutdown(Shutdown::Both));
    });
}

#[test]
fn a_damaged_record_is_set_aside_once_where_the_confirmation_is_lost() {
    let Some(cluster) = shared("a lost confirmation of setting aside in PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let mut env = database.world(&server);
    database.sql("UPDATE tokman.token SET record = replace(record, '\"generation\": 2', '\"generation\": 9');");
    let damaged = database.column("square/default", "record");
    let lossy = Lossy::before(&database, "SET aside =");
    lossy.lead(&mut env, &database);
    env.tokman(&TOKEN).code(8).stderr_has("is set aside in the row of square/default");
    assert_eq!(lossy.sent(), 2, "it was asked again");
    assert_eq!(database.column("square/default", "aside"), damaged);
    assert_eq!(database.column("square/default", "record IS NULL"), "t");
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_key_is_removed_where_the_confirmation_is_lost() {
    let Some(cluster) = shared("a lost confirmation of removing from PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let mut env = database.world(&server);
    let lossy = Lossy::before(&database, "RETURNING record IS NOT NULL");
    lossy.lead(&mut env, &database);
    env.tokman(&["remove", "-p", "square"]).code(0).stderr_lacks("took");
    assert_eq!(lossy.sent(), 2, "it was asked again");
    assert_eq!(database.sql("SELECT count(*) FROM tokman.token;"), "0");
    env.tokman(&["remove", "-p", "square"]).code(4);
}

#[test]
fn an_answer_is_stored_once_where_the_confirmation_is_lost() {
    let Some(cluster) = shared("a lost confirmation of storing in PostgreSQL") else { return };
    let database = cluster.database();
    let server = Rotating::start(Rotation::Once);
    let mut env = database.world(&server);
    for words in ["SET record = $5", "SET owner = $3, lease_until", "INSERT INTO tokman.token AS t"] {
        let lossy = Lossy::before(&database, words);
        lossy.lead(&mut env, &database);
        lives(&env);
        assert_eq!(lossy.sent(), 2, "{words} was asked again");
    }
    assert_eq!(server.requests(), 3);
}
