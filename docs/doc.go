// Package docs holds tests of the documents: paths, targets and names that a document
// mentions exist, and retired names do not return. It has no code.
package docs
