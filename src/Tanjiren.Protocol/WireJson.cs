using System.Text.Json;
using System.Text.Json.Serialization;

namespace Tanjiren.Protocol;

/// <summary>
/// The JSON of the wire: camelCase, absent rather than null, unknown fields ignored, instants as RFC 3339 UTC with milliseconds.
/// Everything that crosses the wire is listed here, so no reflection is needed on either side.
/// </summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    Converters = [typeof(InstantConverter)],
    NumberHandling = JsonNumberHandling.Strict)]
[JsonSerializable(typeof(ProblemBody))]
[JsonSerializable(typeof(SetupRequest))]
[JsonSerializable(typeof(LoginRequest))]
[JsonSerializable(typeof(IdentityBody))]
[JsonSerializable(typeof(CreateTokenRequest))]
[JsonSerializable(typeof(CreatedToken))]
[JsonSerializable(typeof(Page<TokenBody>))]
[JsonSerializable(typeof(DeviceAuthorizationResponse))]
[JsonSerializable(typeof(OAuthTokenResponse))]
[JsonSerializable(typeof(OAuthErrorBody))]
[JsonSerializable(typeof(AuthorizationServerMetadata))]
[JsonSerializable(typeof(Page<GrantBody>))]
[JsonSerializable(typeof(OrganizationBody))]
[JsonSerializable(typeof(CreateOrganizationRequest))]
[JsonSerializable(typeof(Page<OrganizationBody>))]
[JsonSerializable(typeof(Page<MemberBody>))]
[JsonSerializable(typeof(AddMemberRequest))]
[JsonSerializable(typeof(UpdateMemberRequest))]
[JsonSerializable(typeof(CreateInvitationRequest))]
[JsonSerializable(typeof(CreatedInvitation))]
[JsonSerializable(typeof(Page<InvitationBody>))]
[JsonSerializable(typeof(AcceptInvitationRequest))]
[JsonSerializable(typeof(TransferOwnershipRequest))]
[JsonSerializable(typeof(DoctrineBody))]
[JsonSerializable(typeof(Page<DoctrineVersionBody>))]
[JsonSerializable(typeof(SetDoctrineRequest))]
[JsonSerializable(typeof(EvaluateDoctrineRequest))]
[JsonSerializable(typeof(DoctrineDecisionBody))]
[JsonSerializable(typeof(SetWebhookRequest))]
[JsonSerializable(typeof(WebhookBody))]
[JsonSerializable(typeof(SavedWebhook))]
[JsonSerializable(typeof(WebhookDeliveryBody))]
[JsonSerializable(typeof(Page<WebhookDeliveryBody>))]
[JsonSerializable(typeof(WebhookMessage))]
[JsonSerializable(typeof(CreateInstanceRequest))]
[JsonSerializable(typeof(UpdateInstanceRequest))]
[JsonSerializable(typeof(InstanceBody))]
[JsonSerializable(typeof(Page<InstanceBody>))]
[JsonSerializable(typeof(PairingCodeBody))]
[JsonSerializable(typeof(WorkerBody))]
[JsonSerializable(typeof(Page<WorkerBody>))]
[JsonSerializable(typeof(PairRequest))]
[JsonSerializable(typeof(PairResponse))]
[JsonSerializable(typeof(DeviceTokenResponse))]
[JsonSerializable(typeof(OpenSessionRequest))]
[JsonSerializable(typeof(OpenSessionResponse))]
[JsonSerializable(typeof(HeartbeatRequest))]
[JsonSerializable(typeof(HeartbeatResponse))]
[JsonSerializable(typeof(WorkResponse))]
[JsonSerializable(typeof(CreateTaskRequest))]
[JsonSerializable(typeof(TaskBody))]
[JsonSerializable(typeof(Page<TaskBody>))]
[JsonSerializable(typeof(CancelTaskRequest))]
[JsonSerializable(typeof(RetryTaskRequest))]
[JsonSerializable(typeof(CreateScheduleRequest))]
[JsonSerializable(typeof(UpdateScheduleRequest))]
[JsonSerializable(typeof(PauseScheduleRequest))]
[JsonSerializable(typeof(ScheduleBody))]
[JsonSerializable(typeof(Page<ScheduleBody>))]
[JsonSerializable(typeof(SchedulePreviewBody))]
[JsonSerializable(typeof(ClaimRequest))]
[JsonSerializable(typeof(ClaimResponse))]
[JsonSerializable(typeof(CompleteRequest))]
[JsonSerializable(typeof(TokenUsage))]
[JsonSerializable(typeof(StepTransitionResponse))]
[JsonSerializable(typeof(ReleaseRequest))]
[JsonSerializable(typeof(StepAnswerRequest))]
[JsonSerializable(typeof(StepAnswerResponse))]
[JsonSerializable(typeof(AppendLogsRequest))]
[JsonSerializable(typeof(AppendLogsResponse))]
[JsonSerializable(typeof(Page<LogChunkBody>))]
[JsonSerializable(typeof(TaskEventBody))]
[JsonSerializable(typeof(ApprovalBody))]
[JsonSerializable(typeof(ApprovalEventBody))]
[JsonSerializable(typeof(Page<ApprovalBody>))]
[JsonSerializable(typeof(IReadOnlyList<ApprovalFindingBody>))]
[JsonSerializable(typeof(AnswerApprovalRequest))]
[JsonSerializable(typeof(UpdateTaskRequest))]
[JsonSerializable(typeof(TaskExplanationBody))]
[JsonSerializable(typeof(RuntimeOverviewBody))]
[JsonSerializable(typeof(CreateArtifactRequest))]
[JsonSerializable(typeof(ArtifactBody))]
[JsonSerializable(typeof(Page<ArtifactBody>))]
[JsonSerializable(typeof(CreateInvestigationRequest))]
[JsonSerializable(typeof(UpdateInvestigationRequest))]
[JsonSerializable(typeof(InvestigationBody))]
[JsonSerializable(typeof(Page<InvestigationBody>))]
[JsonSerializable(typeof(RunbookFields))]
[JsonSerializable(typeof(CreateRunbookRequest))]
[JsonSerializable(typeof(UpdateRunbookRequest))]
[JsonSerializable(typeof(RunbookBody))]
[JsonSerializable(typeof(Page<RunbookBody>))]
[JsonSerializable(typeof(CreatePromptRequest))]
[JsonSerializable(typeof(UpdatePromptRequest))]
[JsonSerializable(typeof(PromptBody))]
[JsonSerializable(typeof(Page<PromptBody>))]
[JsonSerializable(typeof(StatusBody))]
[JsonSerializable(typeof(AuditEventBody))]
[JsonSerializable(typeof(Page<AuditEventBody>))]
[JsonSerializable(typeof(AuditHead))]
[JsonSerializable(typeof(ChainReport))]
[JsonSerializable(typeof(ResumedTasks))]
[JsonSerializable(typeof(Jwk))]
[JsonSerializable(typeof(ProofHeader))]
[JsonSerializable(typeof(ProofClaims))]
[JsonSerializable(typeof(KeyStatementClaims))]
[JsonSerializable(typeof(KeyRecordClaims))]
[JsonSerializable(typeof(RequestKeyRotation))]
[JsonSerializable(typeof(KeyRotationBody))]
[JsonSerializable(typeof(ApproveKeyRotationRequest))]
[JsonSerializable(typeof(RejectKeyRotationRequest))]
[JsonSerializable(typeof(RecoverRequest))]
[JsonSerializable(typeof(RecoverResponse))]
[JsonSerializable(typeof(KeyChainBody))]
[JsonSerializable(typeof(JsonElement))]
public sealed partial class WireJson : JsonSerializerContext;

/// <summary>RFC 3339 UTC with milliseconds, for example <c>2026-11-20T08:15:30.123Z</c>; any offset is read.</summary>
public sealed class InstantConverter : JsonConverter<DateTimeOffset>
{
    public override DateTimeOffset Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) =>
        reader.GetDateTimeOffset().ToUniversalTime();

    public override void Write(Utf8JsonWriter writer, DateTimeOffset value, JsonSerializerOptions options) =>
        writer.WriteStringValue(value.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'"));
}

/// <summary>One page of a list. <see cref="NextCursor"/> is opaque; absent on the last page.</summary>
public sealed record Page<T>
{
    public required IReadOnlyList<T> Items { get; init; }
    public string? NextCursor { get; init; }
}
