package paths

import (
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
)

// forwarded is an operation that writes, or calls a provider, or knows what
// only the active node can know: other nodes pass it on.
func forwarded(f framework.OperationFunc, summary string, more ...trait) *framework.PathOperation {
	o := local(f, summary, more...)
	o.ForwardPerformanceStandby, o.ForwardPerformanceSecondary = true, true
	return o
}

// local is an operation that any node can serve.
func local(f framework.OperationFunc, summary string, more ...trait) *framework.PathOperation {
	o := &framework.PathOperation{Callback: f, Summary: summary, Responses: map[int][]framework.Response{}}
	for _, set := range more {
		set(o)
	}
	return o
}

// A trait is what the OpenAPI document says of an operation beside its
// summary.
type trait func(*framework.PathOperation)

// says describes the operation's fields and effects, in Markdown and in a
// sentence or two. With the synopsis of its path it stands in the table of paths
// in the documentation.
func says(markdown string) trait {
	return func(o *framework.PathOperation) { o.Description = markdown }
}

// named gives the operation a verb, and a suffix if that of its path does not
// fit. Without it the verb is read, write, list or delete.
func named(verb string, suffix ...string) trait {
	return func(o *framework.PathOperation) {
		o.DisplayAttrs = &framework.DisplayAttributes{OperationVerb: verb}
		if len(suffix) > 0 {
			o.DisplayAttrs.OperationSuffix = suffix[0]
		}
	}
}

// answers says what an answer has in it.
func answers(what string, schema answer) trait {
	return responds(http.StatusOK, framework.Response{Description: what, Fields: schema})
}

// answersNothing says that there is no answer, and what has been done then.
func answersNothing(what string) trait {
	return responds(http.StatusNoContent, framework.Response{Description: what, Fields: answer{}})
}

// warns says that there may be a warning, where otherwise nothing is answered.
func warns(what string) trait {
	return responds(http.StatusOK, framework.Response{Description: what, Fields: answer{}})
}

// shows says that what is answered is no JSON.
func shows(status int, mediaType, what string) trait {
	return responds(status, framework.Response{Description: what, MediaType: mediaType})
}

// refuses says that the operation is there to be refused with a reason.
func refuses(what string) trait {
	return responds(http.StatusBadRequest, framework.Response{Description: what})
}

func responds(status int, r framework.Response) trait {
	return func(o *framework.PathOperation) { o.Responses[status] = []framework.Response{r} }
}

// on names what a path is about, in the ids of its operations:
// authpipe-<verb>-<suffix>.
func on(suffix string) *framework.DisplayAttributes {
	return &framework.DisplayAttributes{OperationPrefix: "authpipe", OperationSuffix: suffix}
}
