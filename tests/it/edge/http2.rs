//! HTTP/2 towards the client, HTTP/1 towards the upstream.
