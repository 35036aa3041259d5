// Package projectiontest tests read models. It has the contract that every read model must
// meet ([Run]), a generator of random valid histories ([History], [Generate]) and a store
// for tests ([Open]).
//
// A generated history promises that every kind of fact can occur in it, that each of its
// transactions is valid for events.Transaction, that its package changes are consistent
// with one inventory, and that its hash chain verifies. The same choices generate the same
// history.
package projectiontest
