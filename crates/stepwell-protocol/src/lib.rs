//! Wire shapes that servers and SDKs share: events, function configuration, calls, ops, signing
