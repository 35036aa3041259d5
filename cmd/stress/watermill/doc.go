// Package watermill measures publishing with Watermill's standard NATS adapter, for comparison
// with BenchmarkPublish in package stress. It is a separate module, so that Cortex does not
// depend on the adapter. 'make peers' runs it.
package watermill
