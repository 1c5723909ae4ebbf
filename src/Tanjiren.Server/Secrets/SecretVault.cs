using System.Security.Cryptography;
using System.Text;
using Tanjiren.Protocol;
using Tanjiren.Server.Data;
using Tanjiren.Server.Hosting;

namespace Tanjiren.Server.Secrets;

/// <summary>The secrets of one task and who gave them, or why they can't be had: a sentence for people.</summary>
internal readonly record struct OpenedSecrets(IReadOnlyDictionary<string, string>? Values, string? GivenBy, string? Fault = null);

/// <summary>
/// Keeps the secrets of tasks, encrypted, and opens them for the claim of a step and for the next attempt; nobody else asks. Each is bound to its task and name: a row that somebody moves
/// to another task, to have their own job print it, opens for nobody.
/// </summary>
internal sealed class SecretVault(SecretsKey key)
{
    private const int NonceBytes = 12;
    private const int TagBytes = 16;

    /// <summary>Whether this server can keep any; <see cref="WhyNot"/> says why it can't.</summary>
    public bool CanKeep => key.IsKept;

    public static string WhyNot => $"this server keeps none: its operator names a key file with {SecretsKey.Setting}";

    /// <summary>In the transaction that makes the task.</summary>
    public async Task KeepAsync(WriteTransaction tx, string taskId, OpenedSecrets secrets)
    {
        foreach (var (name, value) in secrets.Values ?? new Dictionary<string, string>())
            await tx.ExecuteAsync("INSERT INTO task_secrets (task_id, name, given_by, key_id, sealed) VALUES (@taskId, @name, @GivenBy, @keyId, @bytes)",
                new { taskId, name, secrets.GivenBy, keyId = key.Id, bytes = Seal(taskId, name, value) });
    }

    /// <summary>
    /// Whether a task has secrets that somebody else gave. They were given for its command, on its targets: who may change these would have them, and so might who makes its next attempt.
    /// </summary>
    public static async Task<bool> AreOthersAsync(SqlSession sql, string taskId, CreateTaskRequest stored, string userId) => stored.Secrets is { Count: > 0 }
        && await sql.FirstAsync<string>("SELECT given_by FROM task_secrets WHERE task_id = @taskId AND given_by <> @userId", new { taskId, userId }) is not null;

    /// <summary>All of them or none. A fault is not healed by trying again; what the disk does is thrown.</summary>
    public async Task<OpenedSecrets> OpenAsync(SqlSession sql, string taskId, CreateTaskRequest stored)
    {
        if (stored.Secrets is not { Count: > 0 } names) return default;
        var rows = (await sql.ListAsync<Row>("SELECT name, given_by, key_id, sealed FROM task_secrets WHERE task_id = @taskId", new { taskId })).ToDictionary(r => r.Name);
        var values = new Dictionary<string, string>();
        foreach (var name in names.Keys)
        {
            if (!rows.TryGetValue(name, out var row)) return Lost($"The secret {name} is not stored any more.");
            if (!key.IsKept || row.KeyId != key.Id)
                return Lost($"The secret {name} was kept under the key {row.KeyId}, and this server has {(key.IsKept ? "the key " + key.Id : "none")}: its operator brings the key file back ({SecretsKey.Setting}).");
            if (Open(taskId, name, row.Sealed) is not { } value) return Lost($"The secret {name} is not what was kept under that name for this task.");
            values[name] = value;
        }
        return new OpenedSecrets(values, rows[values.Keys.First()].GivenBy);

        static OpenedSecrets Lost(string why) => new(null, null, why);
    }

    /// <summary>
    /// The request as it may be digested: with a keyed digest in the place of each value, so that another value is another request, and the stored digest of a request is none of a value that
    /// could be guessed.
    /// </summary>
    public CreateTaskRequest Covered(CreateTaskRequest request) => request.Secrets is not { Count: > 0 } secrets || !key.IsKept ? request : request with
    {
        Secrets = secrets.ToDictionary(s => s.Key, s => Convert.ToHexStringLower(HMACSHA256.HashData(key.Digest, Encoding.UTF8.GetBytes($"{s.Key}\n{s.Value}")))),
    };

    private byte[] Seal(string taskId, string name, string value)
    {
        var plain = Encoding.UTF8.GetBytes(value);
        var bytes = new byte[NonceBytes + plain.Length + TagBytes];
        var nonce = bytes.AsSpan(0, NonceBytes);
        RandomNumberGenerator.Fill(nonce);
        using var aes = new AesGcm(key.Sealing, TagBytes);
        aes.Encrypt(nonce, plain, bytes.AsSpan(NonceBytes, plain.Length), bytes.AsSpan(NonceBytes + plain.Length), BoundTo(taskId, name));
        CryptographicOperations.ZeroMemory(plain);
        return bytes;
    }

    /// <summary>Null: it is not what was sealed for this task under this name.</summary>
    private string? Open(string taskId, string name, byte[] bytes)
    {
        if (bytes.Length < NonceBytes + TagBytes) return null;
        var plain = new byte[bytes.Length - NonceBytes - TagBytes];
        try
        {
            using var aes = new AesGcm(key.Sealing, TagBytes);
            aes.Decrypt(bytes.AsSpan(0, NonceBytes), bytes.AsSpan(NonceBytes, plain.Length), bytes.AsSpan(NonceBytes + plain.Length), plain, BoundTo(taskId, name));
            return Encoding.UTF8.GetString(plain);
        }
        catch (AuthenticationTagMismatchException)
        {
            return null;
        }
        finally
        {
            CryptographicOperations.ZeroMemory(plain);
        }
    }

    private static byte[] BoundTo(string taskId, string name) => Encoding.UTF8.GetBytes($"tanjiren-secret-v1\n{taskId}\n{name}");

    private sealed record Row
    {
        public string Name { get; init; } = "";
        public string GivenBy { get; init; } = "";
        public string KeyId { get; init; } = "";
        public byte[] Sealed { get; init; } = [];
    }
}

internal static class SecretsFeature
{
    public static IServiceCollection AddSecrets(this IServiceCollection services) =>
        services.AddFeatureOptions<SecretsOptions>("Secrets").AddSingleton<SecretsKey>().AddSingleton<SecretVault>();
}
