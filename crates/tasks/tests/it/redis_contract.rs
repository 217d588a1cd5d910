use crate::redis_support::fresh;

bedplate_tasks::store_contract!(fresh);
