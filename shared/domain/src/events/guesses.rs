//! Guessing promo codes: whoever asks an event for many codes that it doesn't have must wait.

use std::net::IpAddr;

use runtime::faults::FailPoint;
use stores::db::Db;
use values::digest;
use values::ids::{EventId, UserId};

/// Unknown codes of one event that somebody may ask for in [`WINDOW_SECONDS`]. A person who mistypes one never gets near
/// it, and a guesser gets nowhere with it.
const MAX_MISSES: i32 = 100;
const WINDOW_SECONDS: u32 = 15 * 60;

/// Who asks for a code.
#[derive(Debug, Clone, Copy)]
pub enum Asker {
    /// Somebody who need not be logged in.
    At(IpAddr),
    User(UserId),
}

impl Asker {
    /// What misses are counted by. It is a hash, because an address is personal data.
    fn key(self, event_id: &EventId) -> String {
        let asker = match self {
            Self::At(IpAddr::V4(address)) => address.to_string(),
            // Whoever has an IPv6 address has the whole network of this size.
            Self::At(IpAddr::V6(address)) => format!("{:x}", address.to_bits() >> 64),
            Self::User(user) => format!("user {}", user.get()),
        };
        digest::sha256(format!("{event_id} {asker}").as_bytes())
    }
}

/// How many seconds the asker must wait before another code is looked up. `None` if there is no need to.
pub(crate) async fn wait(
    db: &Db,
    event_id: &EventId,
    asker: Asker,
) -> Result<Option<u32>, sqlx::Error> {
    let seconds = sqlx::query_scalar!(
        r#"
        select ceil(extract(epoch from window_ends_at - now()))::int as "seconds!"
          from code_miss
         where asker = $1 and misses >= $2 and window_ends_at > now()
        "#,
        asker.key(event_id),
        MAX_MISSES,
    )
    .fetch_optional(db.idempotent(FailPoint("GetCodeMisses")))
    .await?;
    Ok(seconds.map(|seconds| u32::try_from(seconds).unwrap_or_default().max(1)))
}

/// Counts a code that the event doesn't have, and clears away a few windows that are over.
pub(crate) async fn count_miss(
    db: &Db,
    event_id: &EventId,
    asker: Asker,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        with over as (
            delete from code_miss
             where asker in (
                 select asker from code_miss
                  where window_ends_at < now() and asker <> $1
                  limit 10 for update skip locked)
        )
        insert into code_miss as m (asker, misses, window_ends_at)
        values ($1, 1, now() + make_interval(secs => $2))
            on conflict (asker) do update
           set misses = case when m.window_ends_at < now() then 1 else m.misses + 1 end,
               window_ends_at = case when m.window_ends_at < now() then excluded.window_ends_at else m.window_ends_at end
        "#,
        asker.key(event_id),
        f64::from(WINDOW_SECONDS),
    )
    .execute(db.idempotent(FailPoint("CountCodeMiss")))
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Database;

    #[tokio::test]
    async fn an_asker_waits_after_many_misses_until_their_window_ends() {
        let database = Database::migrated().await;
        let db = database.process();
        let event: EventId = "gala".parse().unwrap();
        let at = |address: &str| Asker::At(address.parse().unwrap());
        for _ in 0..MAX_MISSES {
            assert_eq!(wait(&db, &event, at("2001:db8::1")).await.unwrap(), None);
            count_miss(&db, &event, at("2001:db8::1")).await.unwrap();
        }
        // Another address of the same network is no other asker; another network, a user or an event are.
        let seconds = wait(&db, &event, at("2001:db8::2")).await.unwrap();
        assert!(seconds.is_some_and(|seconds| (890..=900).contains(&seconds)));
        for (asker, event) in [
            (at("2001:db8:0:1::1"), "gala"),
            (at("192.0.2.1"), "gala"),
            (Asker::User(UserId::from(1)), "gala"),
            (at("2001:db8::1"), "fair"),
        ] {
            let event = event.parse().unwrap();
            assert_eq!(wait(&db, &event, asker).await.unwrap(), None);
        }
        let over = "update code_miss set window_ends_at = now() - interval '1 second'";
        database.execute(over.to_owned()).await;
        assert_eq!(wait(&db, &event, at("2001:db8::1")).await.unwrap(), None);
        count_miss(&db, &event, at("2001:db8::1")).await.unwrap();
        assert_eq!(
            database.count("select misses::bigint from code_miss").await,
            1
        );
    }
}
