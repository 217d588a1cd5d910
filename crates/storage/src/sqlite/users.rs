use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use super::{SqliteStore, column, corrupt, failed, id_column};
use crate::{StorageError, Timestamp, User, UserId, Users};

#[async_trait]
impl Users for SqliteStore {
    async fn add_user(&self, user: &User) -> Result<(), StorageError> {
        user.validate()?;
        let done = sqlx::query("INSERT INTO users (id, name, tenant, created_at) VALUES (?, ?, ?, ?)")
            .bind(user.id.to_string())
            .bind(&user.name)
            .bind(&user.tenant)
            .bind(user.created_at.as_millis())
            .execute(&self.writer)
            .await;
        match done {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                let (field, value) = if error.message().contains("users.name") {
                    ("name", user.name.clone())
                } else {
                    ("id", user.id.to_string())
                };
                Err(StorageError::Conflict { entity: "user", field, value })
            }
            Err(source) => Err(failed("add a user", source)),
        }
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StorageError> {
        sqlx::query("SELECT * FROM users WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(|source| failed("read a user", source))?
            .map(|row| read(&row))
            .transpose()
    }

    async fn user_by_name(&self, name: &str) -> Result<Option<User>, StorageError> {
        sqlx::query("SELECT * FROM users WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.readers)
            .await
            .map_err(|source| failed("read a user", source))?
            .map(|row| read(&row))
            .transpose()
    }

    async fn remove_user(&self, id: UserId) -> Result<bool, StorageError> {
        sqlx::query("DELETE FROM users WHERE id = ?")
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map(|done| done.rows_affected() > 0)
            .map_err(|source| failed("remove a user", source))
    }
}

fn read(row: &SqliteRow) -> Result<User, StorageError> {
    let id = id_column(row, "user", "id")?;
    Ok(User {
        id: id.parse().map_err(|_| corrupt("user", &id, "id"))?,
        name: column(row, "user", &id, "name")?,
        tenant: column(row, "user", &id, "tenant")?,
        created_at: Timestamp::from_millis(column(row, "user", &id, "created_at")?),
    })
}
