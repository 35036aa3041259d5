// Package projectiontest holds what every read model must pass, and what its
// tests need: lawful random histories ([History], [Generate]), an opener for
// SQLite files ([Open]) and the contract itself ([Run]).
//
// A generated history promises that every kind of fact can occur in it, that
// each transaction in it passes events.Transaction, that the changes it records
// follow one inventory, and that its chain verifies. The same choices give the
// same history.
package projectiontest
