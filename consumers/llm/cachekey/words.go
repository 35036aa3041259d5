package cachekey

import (
	"strings"
	"sync"
)

// The tables of English words in the rules. A word that is in none of them is content
// and stays. Each table is built at its first use, because most commands need none.

func wordSet(text string) func() map[string]bool {
	return sync.OnceValue(func() map[string]bool {
		m := map[string]bool{}
		for _, w := range strings.Fields(text) {
			m[w] = true
		}
		return m
	})
}

var articles = wordSet("a an the some")

// functionWords relate the other words to each other. They stay, and are never joined,
// stemmed or corrected.
var functionWords = wordSet(`to from with without not no never except excluding including include but only or nor if unless
	until then before after instead of than like as by via into onto in inside on off at over under between for that
	which who whose when while all every each any both either other than is are be was were do does did i you we
	my your our me us it its them they this these those he she and just also too very more less most least`)

// relationWords give meaning to the order of the parts of a list.
var relationWords = wordSet(`to from with without not no never except excluding including but only or nor if unless until
	before after instead than like as by via into onto in inside on off at over under between for that which when while`)

var pronouns = wordSet("it its them they that this these those one ones")

// backReferences are words that refer to an earlier request or action.
var backReferences = wordSet("again previous aforementioned above same another others likewise")

// actionClasses maps a verb that begins a clause to its class. Every action on the
// machine is a class of its own; the verbs that ask for an installation are one class.
var actionClasses = verbTable(map[string]string{
	"install":   "install add get put want need grab",
	"remove":    "remove uninstall delete deinstall",
	"upgrade":   "upgrade",
	"list":      "list show display",
	"search":    "search find",
	"clean":     "clean free",
	"configure": "setup configure",
}, `purge update downgrade reinstall hold unhold pin unpin start stop restart reload enable disable open close allow deny
	block unblock mount unmount umount lock unlock encrypt decrypt compress decompress create copy move rename run execute
	kill backup restore schedule replace migrate switch convert change use download fetch build test check verify
	simulate pretend limit allocate reboot shutdown mask unmask activate deactivate connect disconnect format
	extract archive import export push pull clone sync rollback undo redo keep turn give tell explain describe compare
	dry-run autoremove unpack repair fix reset revert apply forbid permit grant revoke join leave listen bind expose
	wipe erase drop resize extend shrink increase decrease raise lower throttle suspend resume publish deploy`)

func verbTable(classes map[string]string, own string) func() map[string]string {
	return sync.OnceValue(func() map[string]string {
		m := map[string]string{}
		for class, words := range classes {
			for _, w := range strings.Fields(words) {
				m[w] = class
			}
		}
		for _, w := range strings.Fields(own) {
			m[w] = w
		}
		return m
	})
}

// wantVerbs ask for an installation only if their object is a thing, not a fact about a
// thing and not an action on it.
var wantVerbs = wordSet("add get put want need grab")

var factNouns = wordSet(`version versions status info information details list log logs size help output name names user
	users group groups repository repositories ppa key keys rule rules permission permissions entry line`)

// unorderedActions are the classes of verbs whose lists have no order.
var unorderedActions = wordSet("install remove purge upgrade hold unhold list search")

// toolPurposes maps each form of a tool's purpose to the first form of its line.
var toolPurposes = stemTable(`edit editor editors editing edits
	view viewer viewers viewing views
	play player players playing plays playback
	record recorder recorders recording records
	monitor monitors monitoring
	compile compiler compilers compiling compiles
	convert converter converters converting converts conversion convertor
	manage manager managers managing manages management
	scan scanner scanners scanning scans
	draw drawing draws
	browse browser browsers browsing browses
	download downloader downloaders downloading downloads
	debug debugger debuggers debugging debugs
	profile profiler profilers profiling
	emulate emulator emulators emulating emulates emulation
	read reader readers reading reads
	capture capturing captures
	analyze analyzer analyzers analyzing analyzes analyse analyser analysing analyses analysis
	visualize visualizer visualizing visualizes visualization visualise visualisation
	organize organizer organizing organizes organise organiser
	compress compressor compressing compresses compression
	encrypt encrypting encrypts encryption
	burn burner burning burns
	calculate calculator calculating calculates
	translate translator translating translates translation
	benchmark benchmarking benchmarks
	track tracker tracking tracks
	plot plotter plotting plots
	render renderer rendering renders
	stream streamer streaming streams
	chat chatting chats
	synchronize synchronizer synchronizing synchronizes synchronization sync syncing
	parse parser parsing parses
	format formatter formatting formats
	search searching searches
	watch watching watches
	write writing writes
	mount mounting mounts
	test testing tests
	learn learns
	backup backups`)

func stemTable(text string) func() map[string]string {
	return sync.OnceValue(func() map[string]string {
		m := map[string]string{}
		for _, line := range strings.Split(text, "\n") {
			words := strings.Fields(line)
			for _, w := range words {
				m[w] = words[0]
			}
		}
		return m
	})
}

// genericHeads are general words for a thing. Next to a purpose they add no meaning.
var genericHeads = wordSet(`something anything tool tools program programs software app apps application applications utility
	utilities`)

// packageLabels are words for a package next to its name.
var packageLabels = wordSet("package program app application software")

// everythingPhrases are phrases for all packages as the whole object of an upgrade.
var everythingPhrases = phraseList(`everything|all|all packages|the system|all software|every package|all installed packages
	|all of the packages|the whole system|all my packages`)

// formats are kinds of file: "pdf files" are PDFs.
var formats = wordSet(`pdf pdfs photo mp3 mp4 png jpeg jpg svg gif csv json xml yaml html video audio image text music log epub tex
	markdown zip tar`)

var units = wordSet("b kb mb gb tb kib mib gib tib k m g t bit %")

// questionWords begin a question, after polite phrases are removed.
var questionWords = wordSet(`what why who which where when whose is are was were am does did has should shall may might how can
	could would will do`)

// phraseList parses phrases separated by bars.
func phraseList(text string) func() [][]string {
	return sync.OnceValue(func() [][]string {
		var out [][]string
		for _, p := range strings.Split(text, "|") {
			if words := strings.Fields(p); len(words) > 0 {
				out = append(out, words)
			}
		}
		return out
	})
}

// openingPhrases precede a request without changing its meaning.
var openingPhrases = phraseList(`please|kindly|hey|hi|hello|ok|okay|cortex|just|simply|can you|could you|would you|will you|can we|
	could we|i want to|i wanna|i would like to|i need to|i have to|i want you to|i would like you to|i want|i need|
	i would like|i am looking for|help me to|help me|let us|let me|go ahead and|would you mind|would you kindly|
	would you please|could you please|can you please|get me|give me|we need to|we need|we want to|we want|so|now`)

// howToPhrases turn a question into a command, if a command follows.
var howToPhrases = phraseList(`how do i|how can i|how do you|how do we|how can we|how to|how would i|how should i|how could i|
	what is the command to|show me how to|tell me how to`)

// closingPhrases follow a request without changing its meaning.
var closingPhrases = phraseList(`please|thanks|thank you|thx|for me|for us|now|right now|asap|here|if you can|if you please|
	on this machine|on this computer|on this server|on this system|on this box|on this laptop|on this pc|on this host|
	on my machine|on my computer|on my system|on my laptop|on my pc|to this machine|to my machine|onto this machine`)

// ensurePhrases are the beginnings of "… X is installed" that ask for an installation.
var ensurePhrases = phraseList(`make sure that|make sure|ensure that|ensure|see to it that|have|get`)

// aliases are synonyms. The first match counts, so longer ones come first.
var aliases = aliasTable(`
	visual studio code = vscode
	vs code = vscode
	node js = nodejs
	node.js = nodejs
	postgres = postgresql
	pgsql = postgresql
	k8s = kubernetes
	go language = golang
	go lang = golang
	mongo = mongodb
	py3 = python3
	cpp = c++
	js = javascript
	e-mail = email
	wi-fi = wifi
	db = database
	get rid of = remove
	take off = remove
	fetch and install = install
	download and install = install
	set up = setup
	set-up = setup
	look for = search
	looking for = search
	search for = search
	clean up = clean
	free up = clean
	dry run = dry-run
	as well as = ,
	and also = ,
	and then = then`)

type alternative struct{ from, to []string }

func aliasTable(text string) func() []alternative {
	return sync.OnceValue(func() []alternative {
		var out []alternative
		for _, line := range strings.Split(text, "\n") {
			if from, to, ok := strings.Cut(line, "="); ok {
				out = append(out, alternative{strings.Fields(from), strings.Fields(to)})
			}
		}
		return out
	})
}

// contractions are replaced by their words, so that every "not" is a word of its own.
var contractions = aliasTable(`
	don't = do not
	dont = do not
	doesn't = does not
	didn't = did not
	can't = can not
	cannot = can not
	won't = will not
	isn't = is not
	aren't = are not
	shouldn't = should not
	mustn't = must not
	i'd = i would
	i'm = i am
	i've = i have
	let's = let us
	what's = what is
	who's = who is
	how's = how is
	where's = where is
	it's = it is
	that's = that is
	w/o = without`)
