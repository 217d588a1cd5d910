use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use super::{SqliteStore, column, corrupt, failed, id_column, millis};
use crate::{Session, SessionId, Sessions, StorageError, Timestamp, UserId};

#[async_trait]
impl Sessions for SqliteStore {
    async fn open_session(&self, session: &Session) -> Result<(), StorageError> {
        let done = sqlx::query(
            "INSERT INTO sessions (id, user_id, started_at, last_seen_at, ended_at) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(session.id.to_string())
        .bind(session.user.map(|user| user.to_string()))
        .bind(session.started_at.as_millis())
        .bind(session.last_seen_at.as_millis())
        .bind(session.ended_at.map(Timestamp::as_millis))
        .execute(&self.writer)
        .await;
        match done {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Err(StorageError::Conflict { entity: "session", field: "id", value: session.id.to_string() })
            }
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => Err(StorageError::NotFound {
                entity: "user",
                id: session.user.map(|user| user.to_string()).unwrap_or_default(),
            }),
            Err(source) => Err(failed("open a session", source)),
        }
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StorageError> {
        sqlx::query("SELECT * FROM sessions WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(|source| failed("read a session", source))?
            .map(|row| read(&row))
            .transpose()
    }

    async fn touch_session(&self, id: SessionId, at: Timestamp) -> Result<(), StorageError> {
        let touched =
            sqlx::query("UPDATE sessions SET last_seen_at = max(last_seen_at, ?) WHERE id = ? AND ended_at IS NULL")
                .bind(at.as_millis())
                .bind(id.to_string())
                .execute(&self.writer)
                .await
                .map_err(|source| failed("touch a session", source))?;
        found(touched.rows_affected(), id)
    }

    async fn end_session(&self, id: SessionId, at: Timestamp) -> Result<(), StorageError> {
        let ended = sqlx::query("UPDATE sessions SET ended_at = coalesce(ended_at, ?) WHERE id = ?")
            .bind(at.as_millis())
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(|source| failed("end a session", source))?;
        found(ended.rows_affected(), id)
    }

    async fn open_sessions(&self, user: UserId) -> Result<Vec<Session>, StorageError> {
        sqlx::query("SELECT * FROM sessions WHERE user_id = ? AND ended_at IS NULL ORDER BY started_at, id")
            .bind(user.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(|source| failed("list sessions", source))?
            .iter()
            .map(read)
            .collect()
    }
}

fn found(rows: u64, id: SessionId) -> Result<(), StorageError> {
    if rows == 0 { Err(StorageError::NotFound { entity: "session", id: id.to_string() }) } else { Ok(()) }
}

fn read(row: &SqliteRow) -> Result<Session, StorageError> {
    let id = id_column(row, "session", "id")?;
    let user: Option<String> = column(row, "session", &id, "user_id")?;
    Ok(Session {
        id: id.parse().map_err(|_| corrupt("session", &id, "id"))?,
        user: user.map(|user| user.parse()).transpose().map_err(|_| corrupt("session", &id, "user_id"))?,
        started_at: Timestamp::from_millis(column(row, "session", &id, "started_at")?),
        last_seen_at: Timestamp::from_millis(column(row, "session", &id, "last_seen_at")?),
        ended_at: millis(column(row, "session", &id, "ended_at")?),
    })
}
