module kong-fallback.test/minio

go 1.26

// RELEASE.2025-09-07T16-13-09Z
require github.com/minio/minio v0.0.0-20250907161309-07c3a429bfed
