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

func info(build version.Build, versions func() map[string][]string) []*framework.Path {
	return []*framework.Path{{
		Pattern:      "info$",
		Operations:   map[logical.Operation]framework.OperationHandler{logical.ReadOperation: local(infoPaths{build, versions}.read, "Read which build of the plugin this is.")},
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
