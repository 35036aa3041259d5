// Package watermill measures how Watermill's stock NATS adapter publishes, beside
// BenchmarkPublish of the package above. It is a module of its own, so that the
// adapter is no dependency of cortex; 'make peers' runs it.
package watermill
