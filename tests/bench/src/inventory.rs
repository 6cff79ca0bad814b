//! Ways to keep count of an event's tickets, tried on the same load: one ticket and one booking a commit.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tests::secrets;

use crate::figures::{self, Figure, Line, row};
use crate::rounds;

const TIME: Duration = Duration::from_secs(2);
const ENVIRONMENTS: [u32; 6] = [1, 2, 4, 8, 16, 32];

struct Way {
    name: &'static str,
    /// Makes the tables; more tickets than are sold.
    tables: &'static str,
    /// Takes a ticket of an event, and books it.
    sale: &'static str,
}

const WAYS: [Way; 7] = [
    Way {
        name: "a thousand events, a row each",
        tables: "create table event as select n as id, 1000000 as free from generate_series(0, 999) n;
                 alter table event add primary key (id), set (fillfactor = 50); vacuum full event;",
        sale: "with taken as (update event set free = free - 1
                                where id = (select (random() * 999)::int) and free >= 1 returning id)
               insert into booking select gen_random_uuid(), id from taken",
    },
    Way {
        name: "one row",
        tables: "create table event as select 0 as id, 10000000 as free;
                 alter table event add primary key (id), set (fillfactor = 50); vacuum full event;",
        sale: "with taken as (update event set free = free - 1 where id = 0 and free >= 1 returning id)
               insert into booking select gen_random_uuid(), id from taken",
    },
    Way {
        name: "one row behind an advisory lock",
        tables: "create table event as select 0 as id, 10000000 as free;
                 alter table event add primary key (id), set (fillfactor = 50); vacuum full event;",
        sale: "begin; select pg_advisory_xact_lock(1);
               with taken as (update event set free = free - 1 where id = 0 and free >= 1 returning id)
               insert into booking select gen_random_uuid(), id from taken; commit",
    },
    Way {
        name: "a row a ticket",
        tables: "create table event as select n as ticket, 0 as id, false as sold from generate_series(1, 300000) n;
                 alter table event add primary key (ticket); create index on event (ticket) where not sold;",
        sale: "with one as (select ticket from event where not sold limit 1 for no key update skip locked),
                    taken as (update event set sold = true from one where event.ticket = one.ticket returning id)
               insert into booking select gen_random_uuid(), id from taken",
    },
    Way {
        name: "4 rows of stock",
        tables: "create table event as select n as shard, 10000000 as free from generate_series(0, 3) n;
                 alter table event add primary key (shard), set (fillfactor = 50); vacuum full event;",
        sale: STOCK,
    },
    Way {
        name: "16 rows of stock",
        tables: "create table event as select n as shard, 10000000 as free from generate_series(0, 15) n;
                 alter table event add primary key (shard), set (fillfactor = 50); vacuum full event;",
        sale: STOCK,
    },
    Way {
        name: "64 rows of stock",
        tables: "create table event as select n as shard, 10000000 as free from generate_series(0, 63) n;
                 alter table event add primary key (shard), set (fillfactor = 50); vacuum full event;",
        sale: STOCK,
    },
];

const STOCK: &str =
    "with one as (select shard, free from event where free >= 1 order by random() limit 1
                                     for no key update skip locked),
                          taken as (update event set free = one.free - 1 from one
                                     where event.shard = one.shard returning 0 as id)
                     insert into booking select gen_random_uuid(), id from taken";

/// Measures each way with each number of environments once a round.
pub async fn measure() {
    let owner = secrets::account("database-owner").await;
    let mut server = PgConnection::connect_with(&secrets::database(&owner, "postgres"))
        .await
        .unwrap();
    let mut rates: Vec<_> = WAYS
        .iter()
        .map(|_| ENVIRONMENTS.map(|_| Figure::default()))
        .collect();
    for _ in 0..rounds() {
        for (way, rates) in WAYS.iter().zip(&mut rates) {
            server
                .execute("drop database if exists bench with (force)")
                .await
                .unwrap();
            server.execute("create database bench").await.unwrap();
            let most = ENVIRONMENTS[ENVIRONMENTS.len() - 1];
            let pool = PgPoolOptions::new()
                .min_connections(most)
                .max_connections(most);
            let pool = pool.test_before_acquire(false);
            let pool = pool
                .connect_with(secrets::database(&owner, "bench"))
                .await
                .unwrap();
            let tables = "create table booking (id uuid primary key, event int not null);";
            pool.execute(tables).await.unwrap();
            for statement in way
                .tables
                .split_inclusive(';')
                .filter(|part| !part.trim().is_empty())
            {
                pool.execute(statement).await.unwrap();
            }
            for (environments, rate) in ENVIRONMENTS.iter().zip(rates) {
                rate.add(sell(&pool, way.sale, *environments).await);
            }
            pool.close().await;
        }
    }
    server
        .execute("drop database bench with (force)")
        .await
        .unwrap();
    report(&rates);
}

/// Bookings a second.
async fn sell(pool: &PgPool, sale: &'static str, environments: u32) -> f64 {
    let before = booked(pool).await;
    let began = Instant::now();
    let sellers: Vec<_> = (0..environments)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let mut connection = pool.acquire().await.unwrap();
                while began.elapsed() < TIME {
                    let sold = if sale.starts_with("begin") {
                        sqlx::raw_sql(AssertSqlSafe(sale))
                            .execute(&mut *connection)
                            .await
                    } else {
                        sqlx::query(sale).execute(&mut *connection).await
                    };
                    sold.unwrap();
                }
            })
        })
        .collect();
    for seller in sellers {
        seller.await.unwrap();
    }
    let took = began.elapsed();
    (booked(pool).await - before) as f64 / took.as_secs_f64()
}

async fn booked(pool: &PgPool) -> i64 {
    let count = sqlx::query_scalar("select count(*) from booking");
    count.fetch_one(pool).await.unwrap()
}

fn report(rates: &[[Figure; ENVIRONMENTS.len()]]) {
    let heads = ENVIRONMENTS.map(|number| number.to_string());
    let mut text = row(&[vec!["environments".to_owned()], heads.to_vec()].concat());
    text += &row(&[vec!["---".to_owned()], vec!["---:".to_owned(); heads.len()]].concat());
    let mut lines = Vec::<Line>::new();
    for (way, rates) in WAYS.iter().zip(rates) {
        let cells = rates.iter().map(|rate| format!("{:.0}", rate.median()));
        text += &row(&[vec![way.name.to_owned()], cells.collect()].concat());
        let points = ENVIRONMENTS.iter().map(|number| f64::from(*number));
        let points = points.zip(rates.iter().map(Figure::median)).collect();
        lines.push((way.name.to_owned(), points));
    }
    text += "\n![bookings a second against environments](inventory.svg)\n";
    figures::write("inventory", &text).unwrap();
    figures::plot("inventory", "environments", "bookings a second", &lines).unwrap();
}
