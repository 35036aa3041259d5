// Package natslog runs NATS JetStream inside the process and stores a host's log
// of facts in it. With a [ClusterConfig] the servers of a cluster store the log.
//
// It promises:
//
//   - One owner. [Open] locks the state directory until Close. A second Open is
//     refused, in this process and in any other.
//   - The package never creates, repairs or deletes a store unasked. Streams are
//     created once, in an empty directory and only with Config.Create. At every later
//     start the files are checked before the server starts: their checksums, the
//     hash chain of the facts, and the manifest, which is stored outside JetStream. A
//     store that differs is refused with events.ErrCorrupt, and the error names the
//     difference.
//   - Durable appends. Every event that [events.Log] acknowledges or returns is on
//     disk. It survives kill -9 and a power failure. Concurrent appends share a sync.
//   - Requests have a stream of their own, which stores each event id once.
//   - Subscriptions are durable, ordered and at least once; see [Broker.Subscriber].
//   - Clients that connect to Config.Listen can read facts and nothing else.
//   - With a cluster the same holds, except for the files. Messages without this
//     host's signature are refused. Operations that fail because the cluster is
//     unreachable are retried for [ClusterConfig.RetryTimeout].
//
// The format of the server's files is known to package filestore only.
//
// All functions are safe for concurrent use. [Broker.Close] ends every open
// subscription, reader and follower.
package natslog
