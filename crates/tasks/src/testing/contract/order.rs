use super::{KIND, MS, Subject, TERM, job, nothing, put, request, take, text};
use crate::id::TaskId;
use crate::queue::Priority;
use crate::store::{ClaimRequest, End, QueueClaim, Settlement};

async fn take_all(store: &Subject, request: &ClaimRequest) -> Vec<TaskId> {
    let mut order = Vec::new();
    loop {
        let claims = store.claim(request).await.unwrap();
        if claims.is_empty() {
            return order;
        }
        let ends: Vec<End> =
            claims.iter().map(|claim| End::new(claim.lease, Settlement::Completed(b"0".into()))).collect();
        store.settle(&ends).await.unwrap();
        order.extend(claims.iter().map(|claim| claim.job.id));
    }
}

/// By priority, then by the order of coming.
pub async fn the_urgent_go_first_then_the_first(store: Subject) {
    let priorities = [Priority::Normal, Priority::Low, Priority::Critical, Priority::High];
    let mut put_in = Vec::new();
    for _ in 0..3 {
        for priority in priorities {
            put_in.push((priority, put(&store, job().priority(priority)).await));
        }
    }
    put_in.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    let expected: Vec<TaskId> = put_in.into_iter().map(|(_, id)| id).collect();
    assert_eq!(take_all(&store, &request(1)).await, expected);
}

/// Who has no code for a kind leaves it to others.
pub async fn unknown_kinds_and_other_queues_are_left(store: Subject) {
    let mut other_kind = job();
    other_kind.kind = text("other.v1");
    let other_kind = put(&store, other_kind).await;
    let other_queue = put(&store, job().queue("media")).await;
    let mine = put(&store, job()).await;
    let claim = take(&store).await;
    assert_eq!(claim.job.id, mine);
    nothing(&store).await;
    let kind = ClaimRequest::new("worker-2", ["other.v1", KIND], 10, TERM).wait(50 * MS);
    assert_eq!(take_all(&store, &kind).await, [other_kind]);
    let queue = request(10).queues(vec![QueueClaim::new("default"), QueueClaim::new("media")]);
    assert_eq!(take_all(&store, &queue).await, [other_queue]);
}

/// A worker gets no more than it has hands for.
pub async fn no_more_than_asked_for(store: Subject) {
    store.enqueue((0..10).map(|_| job()).collect()).await.unwrap();
    let claims = store.claim(&request(3)).await.unwrap();
    assert!((1..=3).contains(&claims.len()), "{}", claims.len());
    let mut all = claims.len();
    while all < 10 {
        let more = store.claim(&request(4)).await.unwrap();
        assert!((1..=4).contains(&more.len()), "{} after {all}", more.len());
        all += more.len();
    }
    nothing(&store).await;
    assert!(store.claim(&request(0)).await.unwrap().is_empty());
}
