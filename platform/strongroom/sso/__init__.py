"""Sign-in by a tenant's own identity provider (OpenID Connect): its connections, the flow, and whom a stranger's word lets in."""
