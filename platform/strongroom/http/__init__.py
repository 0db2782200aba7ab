"""What every HTTP answer goes through: host and tenant, permissions, problem documents, pace, idempotency, paging."""
