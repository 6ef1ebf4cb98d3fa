package paths

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/version"
)

type infoPaths struct {
	build    version.Build
	versions func() map[string][]string
}

var infoAnswer = answer{
	"version":                {Type: framework.TypeString, Required: true, Description: "What Vault knows the build by: a semantic version with a leading v."},
	"commit":                 {Type: framework.TypeString, Description: "The hash of the source's commit, where it is known."},
	"build_date":             {Type: framework.TypeTime, Description: "When a release was built, else when its commit was made, where it is known."},
	"go_version":             {Type: framework.TypeString, Required: true, Description: "The version of the Go toolchain."},
	"supported_api_versions": {Type: framework.TypeMap, Required: true, Description: "Of each provider the versions of its API that have not ended, oldest first."},
}

func info(build version.Build, versions func() map[string][]string) []*framework.Path {
	return []*framework.Path{{
		Pattern:      "info$",
		DisplayAttrs: on("info"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(infoPaths{build, versions}.read, "Read which build of the plugin this is.",
				says("Shows `version`, `commit`, `build_date`, `go_version`, and of each provider the `supported_api_versions`."),
				answers("The build.", infoAnswer)),
		},
		HelpSynopsis: "Which build of the plugin this is.",
		HelpDescription: "version is what Vault knows it by; a build that is no release is " + version.Development + ". build_date is when a release was built, else when its commit was made; " +
			"it and commit are absent where they are not known. supported_api_versions are, of each provider, those that this build knows and that have not ended, oldest first: what graph_version may be.",
	}}
}

func (i infoPaths) read(context.Context, *logical.Request, *framework.FieldData) (*logical.Response, error) {
	view := map[string]any{"version": i.build.Version, "go_version": i.build.Go, "supported_api_versions": i.versions()}
	if i.build.Commit != "" {
		view["commit"] = i.build.Commit
	}
	setTime(view, "build_date", i.build.Date)
	return &logical.Response{Data: view}, nil
}
