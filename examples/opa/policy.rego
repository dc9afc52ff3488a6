# What each role may do, as data.json says: verbs on tables and their columns, and functions. The rest is denied.
package gatepost

import rego.v1

default decision := {
	"allow": false,
	"reason": "Your role may not do everything that this statement does.",
	"rule": "deny by default",
	"hint": "Use only the tables, columns and functions that your role may, and name the columns in place of *.",
}

decision := {"allow": true, "rule": "roles"} if {
	count(denials) == 0
	is_understood
	count(input.facts.settings) == 0
	every verb in input.facts.verbs { may_begin(verb) }
	every use in input.facts.objects { may_use(use) }
	every function in input.facts.functions { may_call(function) }
}

decision := object.union({"allow": false}, denials[0]) if count(denials) > 0

# What is refused with advice of its own, the most important first.
denials := array.concat(secret, unbounded)

secret := [denial |
	some use in input.facts.objects
	some column in use.columns
	column in data.secret[use.name]
	denial := {
		"reason": sprintf("The column %s of %s is for nobody.", [column, use.name]),
		"rule": "secret columns",
		"hint": "Leave the column out.",
	}
]

unbounded := [denial |
	some use in input.facts.objects
	use.verb in {"update", "delete"}
	not use.is_bounded
	denial := {
		"reason": sprintf("This would %s every row of %s.", [use.verb, use.name]),
		"rule": "unbounded",
		"hint": "Say which rows with WHERE.",
	}
]

# Names must be those of the database's catalogue: in a text alone, "cards" may be anybody's.
is_understood if {
	input.facts.is_resolved
	input.facts.effect == "read"
}

# Of what controls the session, no function: pg_notify and advisory locks reach others.
is_understood if {
	input.facts.effect == "control"
	count(input.facts.functions) == 0
}

# A write must be one on a table: SELECT … FOR UPDATE, or a function that writes, has none.
is_understood if {
	input.facts.is_resolved
	input.facts.effect == "write"
	some use in input.facts.objects
	use.verb in {"insert", "update", "delete", "merge"}
}

# Transactions are for every role; another statement needs a grant with its verb.
may_begin(verb) if verb in {"begin", "commit", "rollback", "savepoint", "rollback_to", "release"}

may_begin(verb) if {
	some grant in grants
	verb in grant.verbs
}

may_use(use) if {
	some grant in grants
	use.verb in grant.verbs
	glob.match(grant.on, ["."], use.name)
	may_touch(grant, use)
}

may_touch(grant, use) if "*" in grant.columns

# Columns that are not known (null) are not all among those that are allowed.
may_touch(grant, use) if {
	is_array(use.columns)
	every column in use.columns { column in grant.columns }
}

may_call(function) if {
	some grant in grants
	function in grant.functions
}

grants := [grant |
	some role in input.identity.roles
	some grant in data.roles[role]
]
