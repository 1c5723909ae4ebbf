#pragma warning disable CA1822, MA0022, CA1051 // replaced by the server branch
using System.Text.Json.Serialization.Metadata;
using Tanjiren.Server.Data;
using Tanjiren.Server.Identity;
using Tanjiren.Server.Problems;
namespace Tanjiren.Server.Workstations { internal sealed class InstanceDirectory { public Task<IReadOnlyList<InstanceRow>> ListAsync(SqlSession s, string o) => null!; }
internal sealed record InstanceRow { public string Id=""; public string Name=""; public IReadOnlyList<string> Tags=[]; public IReadOnlyDictionary<string,string> Labels = new Dictionary<string,string>(); public bool Draining, AgentDraining; public int MaxConcurrent; public bool IsOnline(DateTimeOffset now)=>true; } }
namespace Tanjiren.Server.Hosting { internal sealed class Idempotency { 
 public Task<(string? ResourceId, Problem? Problem)> FindAsync<T>(WriteTransaction tx, Caller c, string? key, string route, T body, JsonTypeInfo<T> t) => null!;
 public Task RememberAsync<T>(WriteTransaction tx, Caller c, string? key, string route, T body, JsonTypeInfo<T> t, string id) => null!; } }
namespace Tanjiren.Server.Identity { internal sealed class CallerCheck { public Task<bool> IsStillAllowedAsync(Caller c, CancellationToken ct) => Task.FromResult(true);} }
