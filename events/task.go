package events

// LLMTask is the purpose of a question to a model. It decides which providers are
// tried.
type LLMTask string

// The tasks.
const (
	TaskConversation LLMTask = "conversation"
	TaskInstall      LLMTask = "install"
	TaskExplain      LLMTask = "explain"
	TaskDiagnose     LLMTask = "diagnose"
	TaskHardware     LLMTask = "hardware"
)

// LLMTasks lists every task.
var LLMTasks = []LLMTask{TaskConversation, TaskInstall, TaskExplain, TaskDiagnose, TaskHardware}
