namespace Tanjiren.Protocol;

/// <summary>Sizes that both sides of the wire agree on. A server may be configured to be stricter, never laxer.</summary>
public static class WireLimits
{
    /// <summary>Largest body of an ordinary request, in bytes (1 MiB); more is 413.</summary>
    public const int MaxBodyBytes = 1024 * 1024;

    /// <summary>Largest body of a route that needs no credential, in bytes (16 KiB).</summary>
    public const int MaxOpenBodyBytes = 16 * 1024;

    /// <summary>Largest body of a log append, in bytes (4 MiB of JSON, about 3 MiB of output).</summary>
    public const int MaxLogBodyBytes = 4 * 1024 * 1024;

    /// <summary>Largest single log chunk before encoding, in bytes (256 KiB).</summary>
    public const int MaxLogChunkBytes = 256 * 1024;

    /// <summary>Output in one page of a log, in bytes (4 MiB): a page is full with its last chunk or with the one that passes this.</summary>
    public const int MaxLogPageBytes = 4 * 1024 * 1024;

    /// <summary>Chunks in one append.</summary>
    public const int MaxLogChunksPerRequest = 256;

    /// <summary>Output kept of one step, in bytes (1 GiB); what comes after is counted, marked and dropped (T-18).</summary>
    public const long MaxStepLogBytes = 1L << 30;

    /// <summary>Tasks that a heartbeat's or a long-poll's answer carries at most (W-05).</summary>
    public const int MaxPendingTasks = 10;

    /// <summary>Longest time that a long-poll is held open, in seconds.</summary>
    public const int MaxWaitSeconds = 60;

    /// <summary>Longest proof in a <c>DPoP</c> header, in characters.</summary>
    public const int MaxProofLength = 4096;

    /// <summary>Largest doctrine document, in bytes of UTF-8 (64 KiB).</summary>
    public const int MaxDoctrineBytes = 64 * 1024;

    public const int MaxIntentLength = 500;
    public const int MaxNameLength = 100;
    public const int MaxTagLength = 64;
    public const int MaxTags = 50;
    public const int MaxLabels = 100;
    public const int MaxArguments = 1000;
    public const int MaxCommandBytes = 128 * 1024;
    public const int MaxEnvironmentVariables = 200;
    public const int MaxSecrets = 32;

    /// <summary>Largest value of one secret, in bytes of UTF-8 (32 KiB).</summary>
    public const int MaxSecretBytes = 32 * 1024;
    public const int MaxTargets = 1000;
    public const int MaxPageSize = 200;
    public const int DefaultPageSize = 50;
    public const int MaxOutputPreviewBytes = 4096;
    public const int MaxCronLength = 200;
    public const int MaxPreviewTicks = 100;
    public const int MaxAttempts = 20;

    /// <summary>Largest content of one artifact, in bytes (10 MiB).</summary>
    public const int MaxArtifactBytes = 10 * 1024 * 1024;

    /// <summary>Longest text that people write into an investigation, a runbook, a prompt or a note, in bytes of UTF-8 (64 KiB).</summary>
    public const int MaxProseBytes = 64 * 1024;

    /// <summary>Largest response of a coding agent that is kept on a step, in bytes of UTF-8 (256 KiB).</summary>
    public const int MaxResponseBytes = 256 * 1024;

    /// <summary>Largest arguments of a tool that a coding agent asks for, in bytes of JSON (32 KiB); larger ones are not told.</summary>
    public const int MaxToolArgumentsBytes = 32 * 1024;

    public const int MaxToolTitleLength = 1000;
    public const int MaxToolPaths = 50;
    public const int MaxToolPathLength = 4096;

    /// <summary>Answers that a coding agent offers to one question.</summary>
    public const int MaxPermissionOptions = 16;

    /// <summary>Questions of one task.</summary>
    public const int MaxQuestions = 50;

    /// <summary>Fields that a question may name.</summary>
    public const int MaxAnswerFields = 50;

    /// <summary>Largest answer to a question, in bytes of JSON as this wire writes it (64 KiB).</summary>
    public const int MaxAnswerBytes = 64 * 1024;

    /// <summary>Pieces of evidence of one answer.</summary>
    public const int MaxEvidence = 50;

    /// <summary>Text in all evidence of one answer, in characters.</summary>
    public const int MaxEvidenceLength = 32 * 1024;

    /// <summary>What is kept of words that are no answer, in characters.</summary>
    public const int MaxSaidLength = 16 * 1024;

    /// <summary>Coding agents that one machine announces at most.</summary>
    public const int MaxCodingAgents = 32;

    public const int MaxTitleLength = 200;
    public const int MaxUrlLength = 2000;
    public const int MaxRunbookParameters = 50;
    public const int MaxParameterLength = 4096;
}
