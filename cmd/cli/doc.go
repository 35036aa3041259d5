// Package cli is the command line: one constructor for each command, all I/O
// through [App].
//
// It promises: stdout is the answer and stderr the conversation; without a
// terminal nothing is asked; every error ends with a hint where there is one, and
// with the exit code of its kind.
//
// With --json a command prints JSON and nothing else on stdout. Commands that
// read print one object with "version": 1. Commands that change something print
// a line each time something happens, {"version": 1, "type": T, …} with T one of
// "plan", "event", "progress", and a last one of type "result". An error is
// {"version": 1, "type": "error", "error": {kind, subject, message, hint}}, also on
// stdout. Fields may be added; they are not renamed or removed within a version.
package cli
