using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Problems;

namespace Tanjiren.Server.Records;

/// <summary>What the fields have to be that investigations, runbooks, prompts and artifacts share. Pure.</summary>
internal static class RecordRules
{
    /// <summary>Text of several lines that may be absent, at most 64 KiB of UTF-8; PostgreSQL can't store a NUL character.</summary>
    public static void CheckProse(FieldErrors errors, string? value, string field)
    {
        if (value is null) return;
        var bytes = Encoding.UTF8.GetByteCount(value);
        errors.Require(bytes <= WireLimits.MaxProseBytes, field, $"has {bytes} bytes of UTF-8; at most {WireLimits.MaxProseBytes} are allowed");
        errors.Require(!value.Contains('\0'), field, "must not contain a NUL character");
    }

    public static void CheckVersion(FieldErrors errors, long? version) =>
        errors.Require(version >= 1, "version", "is required: the version that you read, 1 or more");
}
