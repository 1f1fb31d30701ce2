//! The HTTP face of a control plane, and its client.
