//! Manifest, desired state, diff, plan, apply, live state, session.
