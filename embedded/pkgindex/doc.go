// Package pkgindex finds packages by what they are for. It indexes what apt's lists
// say of every package – names, descriptions, sections, debtags, provides, DEP-11,
// and who depends on, recommends, suggests and mentions whom – in SQLite's FTS5, and
// ranks by fielded bm25 with priors that stand for popularity.
//
// It promises: an index is whole or not there (built beside, renamed into place);
// it knows from which lists it was made ([Fingerprint]); searching writes nothing
// and needs no network; every candidate comes with the reasons for its place. What
// descriptions say is data: bounded, and free of control and direction characters.
package pkgindex
