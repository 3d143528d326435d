package postgres_test

import "github.com/jackc/pgx/v5/pgproto3"

// The messages of one statement without the one that ends it.

func parse(query string) *pgproto3.Parse { return &pgproto3.Parse{Query: query} }
func bind() *pgproto3.Bind               { return &pgproto3.Bind{} }
func execution() *pgproto3.Execute       { return &pgproto3.Execute{} }
