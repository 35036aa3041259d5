// Package natslog runs NATS JetStream inside our process and keeps a host's log
// of facts on it. It is the only package that imports nats-server, but for brokertest, which
// runs servers for tests.
//
// It promises:
//
//   - One owner. The state directory is locked for the broker's life; a second
//     one is refused, in this process and in any other.
//   - Nothing is created, adopted, repaired or deleted by chance. Streams are
//     made once, in an empty directory and only when asked. At every later start
//     the files are read before the server may touch them: they are compared
//     with a manifest kept outside JetStream, their checksums and the hash chain
//     of the facts are checked, and what differs is refused with
//     events.ErrCorrupt, naming what is wrong.
//   - Durable appends. What [events.Log] acknowledges or shows has been synced to disk,
//     together with what was appended at once; it survives kill -9 and the loss of power.
//   - Where servers of others keep the log (see [ClusterConfig]), the same but for the
//     files: what is not sealed by this host is neither read nor acted on, and what
//     fails because they are away is done again until patience ends.
//   - Guests (see Config.Listen) hear facts, and can do nothing else.
//   - Requests are stored in a stream of their own, once for each event id.
//   - Subscriptions are durable, ordered and at least once; see [Broker.Subscriber].
//
// Everything is safe for concurrent use. Close ends every subscription, reader
// and follower that is still open.
package natslog
