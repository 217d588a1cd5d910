use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::{SqliteStore, column, corrupt, failed, id_column};
use crate::{
    CacheOutcome, Interaction, InteractionId, InteractionQuery, Interactions, Status, StatusCounts, StorageError,
    Timestamp,
};

const INSERT: &str = "INSERT OR REPLACE INTO interactions (id, tenant, user, session, modality, processor, \
     content_hash, content_bytes, status, cache, served_by, attempts, quality, error_kind, error, started_at, \
     duration_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

#[async_trait]
impl Interactions for SqliteStore {
    async fn record(&self, interactions: &[Interaction]) -> Result<(), StorageError> {
        const OPERATION: &str = "record interactions";
        interactions.iter().try_for_each(Interaction::validate)?;
        if interactions.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin(OPERATION).await?;
        for one in interactions {
            sqlx::query(INSERT)
                .bind(one.id.to_string())
                .bind(&one.tenant)
                .bind(&one.user)
                .bind(&one.session)
                .bind(&one.modality)
                .bind(&one.processor)
                .bind(&one.content_hash)
                .bind(clamp(one.content_bytes))
                .bind(one.status.as_str())
                .bind(one.cache.as_str())
                .bind(&one.served_by)
                .bind(one.attempts)
                .bind(one.quality)
                .bind(&one.error_kind)
                .bind(&one.error)
                .bind(one.started_at.as_millis())
                .bind(i64::try_from(one.duration.as_micros()).unwrap_or(i64::MAX))
                .execute(&mut *transaction)
                .await
                .map_err(|source| failed(OPERATION, source))?;
        }
        transaction.commit().await.map_err(|source| failed(OPERATION, source))
    }

    async fn interaction(&self, id: InteractionId) -> Result<Option<Interaction>, StorageError> {
        sqlx::query("SELECT * FROM interactions WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(|source| failed("read an interaction", source))?
            .map(|row| read(&row))
            .transpose()
    }

    async fn interactions(&self, query: &InteractionQuery) -> Result<Vec<Interaction>, StorageError> {
        query.validate()?;
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT * FROM interactions WHERE TRUE");
        if let Some(tenant) = &query.tenant {
            sql.push(" AND tenant = ").push_bind(tenant);
        }
        if let Some(status) = query.status {
            sql.push(" AND status = ").push_bind(status.as_str());
        }
        if let Some(since) = query.since {
            sql.push(" AND started_at >= ").push_bind(since.as_millis());
        }
        sql.push(" ORDER BY started_at DESC, id DESC LIMIT ").push_bind(i64::from(query.limit));
        sql.build()
            .fetch_all(&self.readers)
            .await
            .map_err(|source| failed("list interactions", source))?
            .iter()
            .map(read)
            .collect()
    }

    async fn interaction_counts(&self) -> Result<StatusCounts, StorageError> {
        let rows = sqlx::query("SELECT status, count(*) AS requests FROM interactions GROUP BY status")
            .fetch_all(&self.readers)
            .await
            .map_err(|source| failed("count interactions", source))?;
        let mut counts = StatusCounts::default();
        for row in &rows {
            let name = id_column(row, "interaction", "status")?;
            let status = Status::parse(&name).ok_or_else(|| corrupt("interaction", "?", "status"))?;
            let requests: i64 = row.try_get("requests").map_err(|source| failed("count interactions", source))?;
            counts.add(status, requests.unsigned_abs());
        }
        Ok(counts)
    }

    async fn remove_interactions_before(&self, cutoff: Timestamp) -> Result<u64, StorageError> {
        sqlx::query("DELETE FROM interactions WHERE started_at < ?")
            .bind(cutoff.as_millis())
            .execute(&self.writer)
            .await
            .map(|done| done.rows_affected())
            .map_err(|source| failed("remove interactions", source))
    }
}

fn read(row: &SqliteRow) -> Result<Interaction, StorageError> {
    let id = id_column(row, "interaction", "id")?;
    let get = Columns { row, id: &id };
    let status: String = get.column("status")?;
    let cache: String = get.column("cache")?;
    Ok(Interaction {
        id: id.parse().map_err(|_| corrupt("interaction", &id, "id"))?,
        tenant: get.column("tenant")?,
        user: get.column("user")?,
        session: get.column("session")?,
        modality: get.column("modality")?,
        processor: get.column("processor")?,
        content_hash: get.column("content_hash")?,
        content_bytes: get.column::<i64>("content_bytes")?.unsigned_abs(),
        status: Status::parse(&status).ok_or_else(|| corrupt("interaction", &id, "status"))?,
        cache: CacheOutcome::parse(&cache).ok_or_else(|| corrupt("interaction", &id, "cache"))?,
        served_by: get.column("served_by")?,
        attempts: get.column("attempts")?,
        quality: get.column("quality")?,
        error_kind: get.column("error_kind")?,
        error: get.column("error")?,
        started_at: Timestamp::from_millis(get.column("started_at")?),
        duration: Duration::from_micros(get.column::<i64>("duration_us")?.unsigned_abs()),
    })
}

struct Columns<'r> {
    row: &'r SqliteRow,
    id: &'r str,
}

impl<'r> Columns<'r> {
    fn column<T>(&self, field: &'static str) -> Result<T, StorageError>
    where
        T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
    {
        column(self.row, "interaction", self.id, field)
    }
}

fn clamp(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
