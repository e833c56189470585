// The Kubernetes API server: `go install k8s.io/kubernetes/...` is refused because of that module's replace directives, so go.mod here pins the staging modules it replaces.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
