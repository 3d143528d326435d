//go:build unix

package main

import (
	"context"
	"encoding/json"
	"html/template"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"ysync/internal/cluster"
)

// board is the page that shows the nodes and who has which document.
type board struct {
	nodes    []*node
	database string
}

type nodeRow struct {
	Name, Client, Operations, Boot string
	Up, Draining                   bool
	Connections                    int64
	Documents                      int
	Degraded                       []string
}

type documentRow struct {
	Name, Owner string
	Epoch, Head int64
}

var pageOf = template.Must(template.New("board").Parse(`<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<title>ysync cluster</title><style>body{font:15px system-ui;margin:2em}td,th{text-align:left;padding:.2em 1.2em .2em 0}</style>
<h1>Nodes</h1><table><tr><th>node<th>clients<th>operations<th>state<th>connections<th>open documents<th>degraded
{{range .Nodes}}<tr><td>{{.Name}}<td><a href="http://{{.Client}}">{{.Client}}</a><td><a href="http://{{.Operations}}/status">{{.Operations}}</a>
<td>{{if not .Up}}gone{{else if .Draining}}draining{{else}}up{{end}}<td>{{.Connections}}<td>{{.Documents}}<td>{{range .Degraded}}{{.}}<br>{{end}}{{end}}</table>
<h1>Documents</h1><table><tr><th>document<th>owner<th>epoch<th>entries
{{range .Documents}}<tr><td>{{.Name}}<td>{{.Owner}}<td>{{.Epoch}}<td>{{.Head}}{{end}}</table>{{with .Error}}<p>{{.}}</p>{{end}}`))

// ServeHTTP asks all nodes and the database anew each time.
func (b *board) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	var data struct {
		Nodes     []nodeRow
		Documents []documentRow
		Error     string
	}
	names := map[string]string{"": "nobody"}
	for _, n := range b.nodes {
		row := b.ask(ctx, n)
		names[row.Boot] = row.Name
		data.Nodes = append(data.Nodes, row)
	}
	names[""] = "nobody"
	documents, err := b.documents(ctx)
	if err != nil {
		data.Error = err.Error()
	}
	for _, d := range documents {
		if name, ok := names[d.Owner]; ok {
			d.Owner = name
		} else {
			d.Owner = "a node that is gone"
		}
		data.Documents = append(data.Documents, d)
	}
	_ = pageOf.Execute(w, data)
}

// ask reads a node's status.
func (b *board) ask(ctx context.Context, n *node) nodeRow {
	row := nodeRow{Name: n.name, Client: n.client, Operations: n.operations}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.operations+"/status", nil)
	if err != nil {
		return row
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return row
	}
	defer answer.Body.Close()
	var status struct {
		Draining    bool
		Connections int64
		Documents   int
		Degraded    []string
		Cluster     cluster.Status
	}
	if json.NewDecoder(answer.Body).Decode(&status) != nil {
		return row
	}
	row.Up, row.Draining, row.Boot = true, status.Draining, status.Cluster.Self.Boot
	row.Connections, row.Documents, row.Degraded = status.Connections, status.Documents, status.Degraded
	return row
}

// documents reads the newest records.
func (b *board) documents(ctx context.Context) ([]documentRow, error) {
	conn, err := pgx.Connect(ctx, b.database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `SELECT document, owner, epoch, head FROM ysync.documents ORDER BY updated_ms DESC NULLS LAST LIMIT 200`)
	if err != nil {
		return nil, err
	}
	var list []documentRow
	var name []byte
	var d documentRow
	_, err = pgx.ForEachRow(rows, []any{&name, &d.Owner, &d.Epoch, &d.Head}, func() error {
		d.Name = string(name)
		list = append(list, d)
		return nil
	})
	return list, err
}
