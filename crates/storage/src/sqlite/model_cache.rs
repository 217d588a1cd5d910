use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{SqliteStore, column, corrupt, failed, id_column, millis};
use crate::{CachedAnswer, ModelCache, StorageError, Timestamp};

#[async_trait]
impl ModelCache for SqliteStore {
    async fn put_answer(&self, answer: &CachedAnswer) -> Result<(), StorageError> {
        sqlx::query(
            "INSERT OR REPLACE INTO model_cache (key, producer, body, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(&answer.key)
        .bind(&answer.producer)
        .bind(answer.body.to_string())
        .bind(answer.created_at.as_millis())
        .bind(answer.expires_at.map(Timestamp::as_millis))
        .execute(&self.writer)
        .await
        .map(drop)
        .map_err(|source| failed("store an answer", source))
    }

    async fn answer(&self, key: &str, now: Timestamp) -> Result<Option<CachedAnswer>, StorageError> {
        sqlx::query("SELECT * FROM model_cache WHERE key = ? AND (expires_at IS NULL OR expires_at > ?)")
            .bind(key)
            .bind(now.as_millis())
            .fetch_optional(&self.readers)
            .await
            .map_err(|source| failed("read an answer", source))?
            .map(|row| read(&row))
            .transpose()
    }

    async fn remove_expired_answers(&self, now: Timestamp) -> Result<u64, StorageError> {
        sqlx::query("DELETE FROM model_cache WHERE expires_at <= ?")
            .bind(now.as_millis())
            .execute(&self.writer)
            .await
            .map(|done| done.rows_affected())
            .map_err(|source| failed("remove expired answers", source))
    }

    async fn remove_answers_by(&self, producer: &str) -> Result<u64, StorageError> {
        sqlx::query("DELETE FROM model_cache WHERE producer = ?")
            .bind(producer)
            .execute(&self.writer)
            .await
            .map(|done| done.rows_affected())
            .map_err(|source| failed("remove a producer's answers", source))
    }

    async fn answer_counts(&self) -> Result<BTreeMap<String, u64>, StorageError> {
        let rows = sqlx::query("SELECT producer, count(*) AS answers FROM model_cache GROUP BY producer")
            .fetch_all(&self.readers)
            .await
            .map_err(|source| failed("count answers", source))?;
        rows.iter()
            .map(|row| {
                let answers: i64 = row.try_get("answers").map_err(|source| failed("count answers", source))?;
                let producer = row.try_get("producer").map_err(|source| failed("count answers", source))?;
                Ok((producer, answers.unsigned_abs()))
            })
            .collect()
    }
}

fn read(row: &SqliteRow) -> Result<CachedAnswer, StorageError> {
    let key = id_column(row, "cached answer", "key")?;
    let body: String = column(row, "cached answer", &key, "body")?;
    Ok(CachedAnswer {
        producer: column(row, "cached answer", &key, "producer")?,
        body: serde_json::from_str(&body).map_err(|_| corrupt("cached answer", &key, "body"))?,
        created_at: Timestamp::from_millis(column(row, "cached answer", &key, "created_at")?),
        expires_at: millis(column(row, "cached answer", &key, "expires_at")?),
        key,
    })
}
