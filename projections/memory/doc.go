// Package memory is the read model of the users' preferences and habits: the preferences
// they stated, the packages they chose for a phrase, and the failures and their fixes.
//
// It promises:
//
//   - Every [RememberedItem] and every [Suggestion] names the events that it comes from.
//   - A choice counts when its transaction succeeds. It stops counting when the transaction
//     is undone.
//   - A stated preference is stored encrypted, as in the log. Without the key it is
//     unreadable, and so it is for every user after the key is destroyed.
//   - Applying a fact takes the same time regardless of the length of the history.
//   - Earlier facts do not restore an item that was deleted.
//
// [Definition] defines the tables and [Reader] queries them in an open database. The name
// of an item is the letter of its kind and the position of its first fact: p12, c34, f56.
package memory
