"""What each kind of PostgreSQL statement is called, and what it can do.

The names of the kinds are those of PostgreSQL's own parse nodes (`src/include/nodes/parsenodes.h`). The verbs are those
of `STATEMENTS` and `TRANSACTION_VERBS`, and those that `verb_of` tells apart: copy_to, copy_from, copy_to_binary,
copy_from_binary, copy_to_digits (a digit delimits, quotes or escapes), reset, move, analyze, revoke, and unknown for a
text that is not understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gatepost.values import Effect
from gatepost_sql.tree import Node, constant

# From weakest to strongest. CONTROL stands below WRITE, so that BEGIN; INSERT is a write.
STRENGTH: Final[Mapping[Effect, int]] = {
    effect: rank
    for rank, effect in enumerate(
        (Effect.READ, Effect.CONTROL, Effect.WRITE, Effect.DEFINE, Effect.ADMINISTER, Effect.UNKNOWN)
    )
}

_READ, _WRITE, _DEFINE = Effect.READ, Effect.WRITE, Effect.DEFINE
_CONTROL, _ADMINISTER, _UNKNOWN = Effect.CONTROL, Effect.ADMINISTER, Effect.UNKNOWN

# Parse node -> (verb, effect of the statement itself; its parts may be stronger).
STATEMENTS: Final[Mapping[str, tuple[str, Effect]]] = {
    "SelectStmt": ("select", _READ),
    "InsertStmt": ("insert", _WRITE),
    "UpdateStmt": ("update", _WRITE),
    "DeleteStmt": ("delete", _WRITE),
    "MergeStmt": ("merge", _WRITE),
    "TruncateStmt": ("truncate", _WRITE),
    "CopyStmt": ("copy", _READ),
    "ExplainStmt": ("explain", _READ),
    "VariableShowStmt": ("show", _READ),
    "VariableSetStmt": ("set", _CONTROL),
    "ConstraintsSetStmt": ("set_constraints", _CONTROL),
    "TransactionStmt": ("begin", _CONTROL),
    "DeclareCursorStmt": ("declare", _CONTROL),
    "FetchStmt": ("fetch", _CONTROL),
    "ClosePortalStmt": ("close", _CONTROL),
    "PrepareStmt": ("prepare", _CONTROL),
    "DeallocateStmt": ("deallocate", _CONTROL),
    "DiscardStmt": ("discard", _CONTROL),
    "ListenStmt": ("listen", _CONTROL),
    "UnlistenStmt": ("unlisten", _CONTROL),
    "NotifyStmt": ("notify", _CONTROL),
    "LockStmt": ("lock", _CONTROL),
    "ExecuteStmt": ("execute", _UNKNOWN),
    "CallStmt": ("call", _UNKNOWN),
    "DoStmt": ("do", _UNKNOWN),
    "VacuumStmt": ("vacuum", _WRITE),
    "ClusterStmt": ("cluster", _WRITE),
    "ReindexStmt": ("reindex", _WRITE),
    "RefreshMatViewStmt": ("refresh", _WRITE),
    "CreateStmt": ("create", _DEFINE),
    "CreateTableAsStmt": ("create", _DEFINE),
    "CreateSchemaStmt": ("create", _DEFINE),
    "CreateSeqStmt": ("create", _DEFINE),
    "CreateDomainStmt": ("create", _DEFINE),
    "CreateEnumStmt": ("create", _DEFINE),
    "CreateRangeStmt": ("create", _DEFINE),
    "CompositeTypeStmt": ("create", _DEFINE),
    "CreateTrigStmt": ("create", _DEFINE),
    "CreateStatsStmt": ("create", _DEFINE),
    "CreateFunctionStmt": ("create", _DEFINE),
    "CreateOpClassStmt": ("create", _DEFINE),
    "CreateOpFamilyStmt": ("create", _DEFINE),
    "CreateConversionStmt": ("create", _DEFINE),
    "CreateCastStmt": ("create", _DEFINE),
    "CreateTransformStmt": ("create", _DEFINE),
    "DefineStmt": ("create", _DEFINE),
    "IndexStmt": ("create", _DEFINE),
    "RuleStmt": ("create", _DEFINE),
    "ViewStmt": ("create", _DEFINE),
    "DropStmt": ("drop", _DEFINE),
    "AlterTableStmt": ("alter", _DEFINE),
    "AlterCollationStmt": ("alter", _DEFINE),
    "AlterDomainStmt": ("alter", _DEFINE),
    "AlterEnumStmt": ("alter", _DEFINE),
    "AlterFunctionStmt": ("alter", _DEFINE),
    "AlterObjectDependsStmt": ("alter", _DEFINE),
    "AlterObjectSchemaStmt": ("alter", _DEFINE),
    "AlterOperatorStmt": ("alter", _DEFINE),
    "AlterOpFamilyStmt": ("alter", _DEFINE),
    "AlterSeqStmt": ("alter", _DEFINE),
    "AlterStatsStmt": ("alter", _DEFINE),
    "AlterTSConfigurationStmt": ("alter", _DEFINE),
    "AlterTSDictionaryStmt": ("alter", _DEFINE),
    "AlterTypeStmt": ("alter", _DEFINE),
    "RenameStmt": ("alter", _DEFINE),
    "CommentStmt": ("comment", _DEFINE),
    "GrantStmt": ("grant", _ADMINISTER),
    "GrantRoleStmt": ("grant", _ADMINISTER),
    "AlterDefaultPrivilegesStmt": ("alter", _ADMINISTER),
    "AlterOwnerStmt": ("alter", _ADMINISTER),
    "CreatePolicyStmt": ("create", _ADMINISTER),
    "AlterPolicyStmt": ("alter", _ADMINISTER),
    "SecLabelStmt": ("security_label", _ADMINISTER),
    "CreateRoleStmt": ("create", _ADMINISTER),
    "AlterRoleStmt": ("alter", _ADMINISTER),
    "AlterRoleSetStmt": ("alter", _ADMINISTER),
    "DropRoleStmt": ("drop", _ADMINISTER),
    "DropOwnedStmt": ("drop", _ADMINISTER),
    "ReassignOwnedStmt": ("alter", _ADMINISTER),
    "CreatedbStmt": ("create", _ADMINISTER),
    "AlterDatabaseStmt": ("alter", _ADMINISTER),
    "AlterDatabaseSetStmt": ("alter", _ADMINISTER),
    "AlterDatabaseRefreshCollStmt": ("alter", _ADMINISTER),
    "DropdbStmt": ("drop", _ADMINISTER),
    "CreateTableSpaceStmt": ("create", _ADMINISTER),
    "DropTableSpaceStmt": ("drop", _ADMINISTER),
    "AlterTableSpaceOptionsStmt": ("alter", _ADMINISTER),
    "AlterTableMoveAllStmt": ("alter", _ADMINISTER),
    "CreateExtensionStmt": ("create", _ADMINISTER),
    "AlterExtensionStmt": ("alter", _ADMINISTER),
    "AlterExtensionContentsStmt": ("alter", _ADMINISTER),
    "CreatePLangStmt": ("create", _ADMINISTER),
    "CreateAmStmt": ("create", _ADMINISTER),
    "CreateEventTrigStmt": ("create", _ADMINISTER),
    "AlterEventTrigStmt": ("alter", _ADMINISTER),
    "CreateFdwStmt": ("create", _ADMINISTER),
    "AlterFdwStmt": ("alter", _ADMINISTER),
    "CreateForeignServerStmt": ("create", _ADMINISTER),
    "AlterForeignServerStmt": ("alter", _ADMINISTER),
    "CreateUserMappingStmt": ("create", _ADMINISTER),
    "AlterUserMappingStmt": ("alter", _ADMINISTER),
    "DropUserMappingStmt": ("drop", _ADMINISTER),
    "CreateForeignTableStmt": ("create", _ADMINISTER),
    "ImportForeignSchemaStmt": ("create", _ADMINISTER),
    "CreatePublicationStmt": ("create", _ADMINISTER),
    "AlterPublicationStmt": ("alter", _ADMINISTER),
    "CreateSubscriptionStmt": ("create", _ADMINISTER),
    "AlterSubscriptionStmt": ("alter", _ADMINISTER),
    "DropSubscriptionStmt": ("drop", _ADMINISTER),
    "ReplicaIdentityStmt": ("alter", _DEFINE),
    "AlterSystemStmt": ("alter_system", _ADMINISTER),
    "CheckPointStmt": ("checkpoint", _ADMINISTER),
    "LoadStmt": ("load", _ADMINISTER),
}

TRANSACTION_VERBS: Final[Mapping[str, str]] = {
    "TRANS_STMT_BEGIN": "begin",
    "TRANS_STMT_START": "begin",
    "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback",
    "TRANS_STMT_SAVEPOINT": "savepoint",
    "TRANS_STMT_RELEASE": "release",
    "TRANS_STMT_ROLLBACK_TO": "rollback_to",
    "TRANS_STMT_PREPARE": "prepare_transaction",
    "TRANS_STMT_COMMIT_PREPARED": "commit_prepared",
    "TRANS_STMT_ROLLBACK_PREPARED": "rollback_prepared",
}

# DROP, COMMENT, RENAME and SET SCHEMA of these administer the server, or who may do what, rather than define what it
# holds.
ADMINISTERED: Final = frozenset(
    {
        "OBJECT_ACCESS_METHOD",
        "OBJECT_DATABASE",
        "OBJECT_EVENT_TRIGGER",
        "OBJECT_EXTENSION",
        "OBJECT_FDW",
        "OBJECT_FOREIGN_SERVER",
        "OBJECT_LANGUAGE",
        "OBJECT_POLICY",
        "OBJECT_PUBLICATION",
        "OBJECT_ROLE",
        "OBJECT_SUBSCRIPTION",
        "OBJECT_TABLESPACE",
    }
)

# What belongs to a table, whose name stands before its own.
ON_TABLES: Final = frozenset(
    {"OBJECT_COLUMN", "OBJECT_POLICY", "OBJECT_RULE", "OBJECT_TABCONSTRAINT", "OBJECT_TRIGGER"}
)

# What has its name among tables.
RELATIONS: Final = frozenset(
    {"OBJECT_FOREIGN_TABLE", "OBJECT_MATVIEW", "OBJECT_SEQUENCE", "OBJECT_TABLE", "OBJECT_VIEW"}
)

# What an access method has, whose name stands before its own.
IN_CLASSES: Final = frozenset({"OBJECT_OPCLASS", "OBJECT_OPFAMILY"})

# What else is in a schema, by a name of its own.
IN_SCHEMAS: Final = IN_CLASSES | {
    "OBJECT_AGGREGATE",
    "OBJECT_COLLATION",
    "OBJECT_CONVERSION",
    "OBJECT_DOMAIN",
    "OBJECT_FUNCTION",
    "OBJECT_OPERATOR",
    "OBJECT_PROCEDURE",
    "OBJECT_ROUTINE",
    "OBJECT_STATISTIC_EXT",
    "OBJECT_TSCONFIGURATION",
    "OBJECT_TSDICTIONARY",
    "OBJECT_TSPARSER",
    "OBJECT_TSTEMPLATE",
    "OBJECT_TYPE",
}

# These commands of ALTER TABLE administer too; the options of a foreign table say where its rows are.
ADMINISTERING: Final = frozenset(
    {
        "AT_AlterColumnGenericOptions",
        "AT_ChangeOwner",
        "AT_DisableRowSecurity",
        "AT_DisableRule",
        "AT_DisableTrig",
        "AT_DisableTrigAll",
        "AT_DisableTrigUser",
        "AT_EnableAlwaysRule",
        "AT_EnableAlwaysTrig",
        "AT_EnableReplicaRule",
        "AT_EnableReplicaTrig",
        "AT_EnableRowSecurity",
        "AT_EnableRule",
        "AT_EnableTrig",
        "AT_EnableTrigAll",
        "AT_EnableTrigUser",
        "AT_ForceRowSecurity",
        "AT_GenericOptions",
        "AT_NoForceRowSecurity",
    }
)

# Nodes that hold nothing to look at.
LEAVES: Final = frozenset(
    {
        "A_Const",
        "A_Star",
        "BitString",
        "Boolean",
        "CTECycleClause",
        "CTESearchClause",
        "CurrentOfExpr",
        "Float",
        "Integer",
        "JsonFormat",
        "MergeSupportFunc",
        "ParamRef",
        "RoleSpec",
        "SQLValueFunction",
        "SetToDefault",
        "String",
    }
)

# Parts of statements that do nothing of themselves: what they can do, their own parts say.
CLAUSES: Final = frozenset(
    {
        "ATAlterConstraint",
        "A_ArrayExpr",
        "A_Indices",
        "AccessPriv",
        "BoolExpr",
        "BooleanTest",
        "CaseExpr",
        "CaseWhen",
        "CoalesceExpr",
        "CollateClause",
        "CollateExpr",
        "CommonTableExpr",
        "CreateOpClassItem",
        "DefElem",
        "FunctionParameter",
        "GroupingFunc",
        "GroupingSet",
        "InferClause",
        "IntoClause",
        "JsonAggConstructor",
        "JsonArgument",
        "JsonArrayAgg",
        "JsonArrayConstructor",
        "JsonArrayQueryConstructor",
        "JsonBehavior",
        "JsonFuncExpr",
        "JsonIsPredicate",
        "JsonKeyValue",
        "JsonObjectAgg",
        "JsonObjectConstructor",
        "JsonParseExpr",
        "JsonReturning",
        "JsonScalarExpr",
        "JsonSerializeExpr",
        "JsonTable",
        "JsonTablePathSpec",
        "JsonValueExpr",
        "List",
        "MinMaxExpr",
        "MultiAssignRef",
        "NamedArgExpr",
        "NullTest",
        "ObjectWithArgs",
        "OnConflictClause",
        "PartitionBoundSpec",
        "PartitionCmd",
        "PartitionElem",
        "PartitionRangeDatum",
        "PartitionSpec",
        "PublicationObjSpec",
        "PublicationTable",
        "RangeSubselect",
        "RangeTableFunc",
        "ResTarget",
        "ReturnStmt",
        "ReturningClause",
        "RowExpr",
        "StatsElem",
        "TriggerTransition",
        "TypeName",
        "VacuumRelation",
        "WindowDef",
        "WithClause",
        "XmlExpr",
    }
)


# What a COPY writes between values, or into them.
_BETWEEN: Final = frozenset(("delimiter", "quote", "escape"))


def verb_of(kind: str, node: Node) -> str:
    """What a statement is called."""
    if kind == "TransactionStmt":
        return TRANSACTION_VERBS.get(node["kind"], "transaction")
    if kind == "CopyStmt":
        return _copy_verb(node)
    if kind == "VariableSetStmt" and node["kind"].startswith("VAR_RESET"):
        return "reset"
    if kind == "FetchStmt":
        return "move" if node.get("ismove") else "fetch"
    if kind == "VacuumStmt":
        return "vacuum" if node.get("is_vacuumcmd") else "analyze"
    if kind in ("GrantStmt", "GrantRoleStmt"):
        return "grant" if node.get("is_grant") else "revoke"
    return STATEMENTS[kind][0] if kind in STATEMENTS else "unknown"


def _copy_verb(copy: Node) -> str:
    direction = "copy_from" if copy.get("is_from") else "copy_to"
    options = [(each["DefElem"]["defname"], constant(each["DefElem"].get("arg"))) for each in copy.get("options", ())]
    if any(name == "format" and (value or "").lower() == "binary" for name, value in options):
        return direction + "_binary"
    if direction == "copy_to" and any(name in _BETWEEN and (value or "").isdigit() for name, value in options):
        return "copy_to_digits"
    return direction
