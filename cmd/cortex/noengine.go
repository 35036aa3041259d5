//go:build noengine

package main

import "cortex/cmd/app"

// engine is empty: the program cortexd beside this one has it. Without the broker a
// command starts in two thirds of the time.
func engine() app.Engine { return app.Engine{} }
