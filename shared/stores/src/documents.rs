//! Collections of the document store, and the operations on them.
//!
//! Every operation is safe to repeat, and is repeated once if it failed for a moment: an insert that leaves what is there,
//! an update that matches the state that it changes, a deletion or a read.
//!
//! What the driver does is boxed here, below the generic methods, so that it is compiled once and not in each function's
//! binary.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::bson::{
    Document, RawDocumentBuf, deserialize_from_slice, doc, serialize_to_raw_document_buf,
};
use mongodb::error::Error;
use mongodb::options::{FindOptions, ReturnDocument};
use mongodb::{Client, Collection, IndexModel};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::docdb::{DocumentStore, is_duplicate_key, is_transient};
use runtime::calls::{self, CallError};
use runtime::faults::FailPoint;

/// The longest that a request to the store may take, including the search for a server.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

/// A collection of documents that are each a `T`.
pub struct Documents<T> {
    raw: RawCollection,
    kind: PhantomData<fn() -> T>,
}

impl<T> Documents<T> {
    pub fn new(store: &Arc<DocumentStore>, database: &'static str, name: &'static str) -> Self {
        let store = Arc::clone(store);
        Self {
            raw: RawCollection {
                store,
                database,
                name,
            },
            kind: PhantomData,
        }
    }

    /// Makes those of the indexes that are missing.
    pub async fn create_indexes(
        &self,
        point: FailPoint,
        indexes: Vec<IndexModel>,
    ) -> Result<(), Error> {
        self.raw.create_indexes(point, indexes).await
    }

    /// Updates the first document that matches. Returns whether there was one.
    pub async fn update(
        &self,
        point: FailPoint,
        filter: Document,
        update: Document,
    ) -> Result<bool, Error> {
        self.raw.update(point, filter, update).await
    }

    /// Deletes all documents that match.
    pub async fn delete(&self, point: FailPoint, filter: Document) -> Result<(), Error> {
        self.raw.delete(point, filter).await
    }

    /// The ids of up to `limit` documents, ordered by a field that has an index. For callers that must not
    /// load documents of unbounded size all at once.
    pub async fn ids(
        &self,
        point: FailPoint,
        filter: Document,
        order: &'static str,
        limit: i64,
    ) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Id {
            #[serde(rename = "_id")]
            id: String,
        }

        let only = Some(doc! {"_id": 1});
        let found = self.raw.find(point, filter, doc! {order: 1}, limit, only);
        let ids = found.await?.into_iter().map(|found| read(&found));
        ids.map(|found| found.map(|Id { id }| id)).collect()
    }
}

impl<T: Serialize> Documents<T> {
    /// Inserts a document, unless one with the same unique key is there. Returns whether it was inserted.
    pub async fn insert(&self, point: FailPoint, document: &T) -> Result<bool, Error> {
        let document = serialize_to_raw_document_buf(document)?;
        self.raw.insert(point, vec![document]).await
    }

    /// Inserts those documents whose id is new. The others are there already.
    pub async fn insert_new(&self, point: FailPoint, documents: &[T]) -> Result<(), Error> {
        let documents = documents.iter().map(serialize_to_raw_document_buf);
        let documents = documents.collect::<Result<Vec<_>, _>>()?;
        self.raw.insert(point, documents).await.map(drop)
    }
}

impl<T: DeserializeOwned> Documents<T> {
    /// The document that matches.
    pub async fn find_one(&self, point: FailPoint, filter: Document) -> Result<Option<T>, Error> {
        self.find_first(point, filter, Document::new()).await
    }

    /// The first document that matches, in an order.
    pub async fn find_first(
        &self,
        point: FailPoint,
        filter: Document,
        order: Document,
    ) -> Result<Option<T>, Error> {
        let found = self.find(point, filter, order, 1).await?;
        Ok(found.into_iter().next())
    }

    /// Up to `limit` documents that match, in an order.
    pub async fn find(
        &self,
        point: FailPoint,
        filter: Document,
        order: Document,
        limit: i64,
    ) -> Result<Vec<T>, Error> {
        let found = self.raw.find(point, filter, order, limit, None).await?;
        found.iter().map(read).collect()
    }

    /// Updates the document that matches. Returns it as it is then, or `None` if there was none.
    pub async fn find_and_update(
        &self,
        point: FailPoint,
        filter: Document,
        update: Document,
    ) -> Result<Option<T>, Error> {
        let updated = self.raw.find_and_update(point, filter, update).await?;
        updated.as_ref().map(read).transpose()
    }
}

fn read<T: DeserializeOwned>(document: &RawDocumentBuf) -> Result<T, Error> {
    Ok(deserialize_from_slice(document.as_bytes())?)
}

/// A collection, whatever its documents are.
#[derive(Clone)]
struct RawCollection {
    store: Arc<DocumentStore>,
    database: &'static str,
    name: &'static str,
}

type Outcome<'c, R> = BoxFuture<'c, Result<R, Error>>;

impl RawCollection {
    fn create_indexes(&self, point: FailPoint, indexes: Vec<IndexModel>) -> Outcome<'_, ()> {
        self.idempotent(point, move |collection| {
            let indexes = indexes.clone();
            async move {
                // One by one: FerretDB ends the connection when it is asked for two that are there.
                for index in indexes {
                    collection.create_index(index).await?;
                }
                Ok(())
            }
        })
    }

    fn insert(&self, point: FailPoint, documents: Vec<RawDocumentBuf>) -> Outcome<'_, bool> {
        let documents = Arc::new(documents);
        self.idempotent(point, move |collection| {
            let documents = Arc::clone(&documents);
            async move {
                let inserted = match &**documents {
                    [document] => collection.insert_one(document).await.map(drop),
                    several => {
                        let inserting = collection.insert_many(several).ordered(false);
                        inserting.await.map(drop)
                    }
                };
                match inserted {
                    Ok(()) => Ok(true),
                    Err(error) if is_duplicate_key(&error) => Ok(false),
                    Err(error) => Err(error),
                }
            }
        })
    }

    fn find(
        &self,
        point: FailPoint,
        filter: Document,
        order: Document,
        limit: i64,
        projection: Option<Document>,
    ) -> Outcome<'_, Vec<RawDocumentBuf>> {
        self.idempotent(point, move |collection| {
            let options = FindOptions::builder()
                .limit(limit)
                .sort((!order.is_empty()).then(|| order.clone()))
                .projection(projection.clone())
                .build();
            let filter = filter.clone();
            async move {
                let found = collection.find(filter).with_options(options).await?;
                found.try_collect().await
            }
        })
    }

    fn update(&self, point: FailPoint, filter: Document, update: Document) -> Outcome<'_, bool> {
        self.idempotent(point, move |collection| {
            let (filter, update) = (filter.clone(), update.clone());
            async move {
                let updated = collection.update_one(filter, update).await?;
                Ok(updated.matched_count == 1)
            }
        })
    }

    fn find_and_update(
        &self,
        point: FailPoint,
        filter: Document,
        update: Document,
    ) -> Outcome<'_, Option<RawDocumentBuf>> {
        self.idempotent(point, move |collection| {
            let (filter, update) = (filter.clone(), update.clone());
            async move {
                let updating = collection.find_one_and_update(filter, update);
                updating.return_document(ReturnDocument::After).await
            }
        })
    }

    fn delete(&self, point: FailPoint, filter: Document) -> Outcome<'_, ()> {
        self.idempotent(point, move |collection| {
            let filter = filter.clone();
            async move { collection.delete_many(filter).await.map(drop) }
        })
    }

    fn idempotent<'c, R: Send + 'c, Running>(
        &'c self,
        point: FailPoint,
        operation: impl Fn(Collection<RawDocumentBuf>) -> Running + Send + Sync + 'c,
    ) -> Outcome<'c, R>
    where
        Running: Future<Output = Result<R, Error>> + Send + 'c,
    {
        async move {
            let on =
                |client: Client| operation(client.database(self.database).collection(self.name));
            let run = || self.store.run(&on);
            let done = calls::idempotent(point, OPERATION_TIMEOUT, is_transient, run).await;
            done.map_err(CallError::into_own)
        }
        .boxed()
    }
}

impl<T> Clone for Documents<T> {
    fn clone(&self) -> Self {
        Self {
            raw: self.raw.clone(),
            kind: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Documents<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Documents({}.{})", self.raw.database, self.raw.name)
    }
}
