package events

// Task is what a model is asked for; it decides which providers are tried.
type Task string

// The tasks.
const (
	TaskConversation Task = "conversation"
	TaskInstall      Task = "install"
	TaskExplain      Task = "explain"
	TaskDiagnose     Task = "diagnose"
	TaskHardware     Task = "hardware"
)

// Tasks lists every task.
var Tasks = []Task{TaskConversation, TaskInstall, TaskExplain, TaskDiagnose, TaskHardware}
